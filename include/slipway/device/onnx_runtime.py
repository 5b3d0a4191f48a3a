"""ONNX Runtime on the CPU, one thread: small devices share their core with the sensor."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from slipway.device.runtime import Tensors
from slipway.errors import IncompatibleError

OUTPUT = "logits"
_DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(bool)": "bool",
}


class OnnxRuntime:
    """Loads ``.onnx`` files."""

    @property
    def name(self) -> str:
        return "onnxruntime"

    @property
    def version(self) -> str:
        return str(onnxruntime.__version__)

    def load(self, artifact: Path) -> OnnxSession:
        return OnnxSession(artifact)


class OnnxSession:
    """One loaded model."""

    def __init__(self, artifact: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        # The arena trades memory for throughput that one row at a time does not need.
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(
                str(artifact), sess_options=options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime raises many unrelated types
            kind = type(error).__name__
            raise IncompatibleError(
                f"expected a model ONNX Runtime {onnxruntime.__version__} can load, got {kind}; compile it again"
            ) from error
        if OUTPUT not in [output.name for output in self._session.get_outputs()]:
            raise IncompatibleError(f"expected an output named {OUTPUT!r} in {artifact.name}; export the model again")
        self._inputs = {tensor.name: _DTYPES.get(tensor.type, tensor.type) for tensor in self._session.get_inputs()}

    @property
    def inputs(self) -> Mapping[str, str]:
        return self._inputs

    def run(self, inputs: Tensors) -> NDArray[Any]:
        (logits,) = self._session.run([OUTPUT], dict(inputs))
        return np.asarray(logits)
