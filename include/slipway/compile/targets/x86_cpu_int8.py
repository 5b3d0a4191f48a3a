"""``x86-cpu-int8``: 8-bit weights and activations for ONNX Runtime on an x86-64 CPU (static quantisation, QDQ).

Ranges are the extremes seen on the training rows in ``calibration.npz``; the same rows give the same bytes.
"""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Iterator
from pathlib import Path

import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from slipway.compile.onnx_model import canonical_bytes
from slipway.compile.samples import Samples
from slipway.compile.targets.interface import Built, Skipped, Source
from slipway.compile.targets.x86_cpu import built, elsewhere
from slipway.errors import CompileError
from slipway.training.arrays import Arrays

_BATCH = 128
_LAYERS = frozenset({"Conv", "Gemm", "MatMul"})


def build(source: Source) -> Built | Skipped:
    """Quantise the model.

    Raises:
        CompileError: ONNX Runtime cannot quantise it.
    """
    return elsewhere(platform.machine()) or built(quantise(source.onnx, source.calibration()), precision="int8")


def quantise(model: bytes, calibration: Samples) -> bytes:
    """The model with 8-bit weights (per channel) and activations, as canonical ONNX bytes.

    Raises:
        CompileError: the model has no layer to quantise, or ONNX Runtime fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        exported, prepared, quantised = (Path(folder, f"{name}.onnx") for name in ("exported", "prepared", "quantised"))
        exported.write_bytes(model)
        try:
            quant_pre_process(str(exported), str(prepared), skip_symbolic_shape=True)
            quantize_static(
                str(prepared),
                str(quantised),
                _Reader(calibration),
                quant_format=QuantFormat.QDQ,
                nodes_to_quantize=nodes_to_quantise(onnx.load(prepared).graph),
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                # CPUs without VNNI add products of 8 x 8 bits in 16 and saturate; 7-bit weights give every x86 CPU
                # of a fleet the answers that were measured here.
                reduce_range=True,
            )
            return canonical_bytes(onnx.load(quantised))
        except CompileError:
            raise
        except Exception as error:  # the quantiser raises whatever its numpy and protobuf code does
            raise CompileError(f"ONNX Runtime cannot quantise the model: {error!r}") from error


def nodes_to_quantise(graph: onnx.GraphProto) -> list[str]:
    """Names of the layers, what follows them, and embedding tables.

    Arithmetic before the first layer stays in float32: raw features have units and outliers, and an 8-bit number
    cannot say "missing" (NaN).

    Raises:
        CompileError: there is no layer.
    """
    weights = {weight.name for weight in graph.initializer if weight.data_type == onnx.TensorProto.FLOAT}
    behind: set[str] = set()
    names = []
    for node in graph.node:
        layer = node.op_type in _LAYERS or bool(behind & set(node.input))
        if layer:
            behind.update(node.output)
        if layer or (node.op_type == "Gather" and node.input[0] in weights):
            names.append(node.name)
    if not behind:
        raise CompileError("the model has no layer (Conv, Gemm, MatMul) to quantise; use the target x86-cpu")
    return names


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, samples: Samples) -> None:
        self._batches: Iterator[Arrays] = samples.batches(_BATCH)

    def get_next(self) -> Arrays | None:
        return next(self._batches, None)
