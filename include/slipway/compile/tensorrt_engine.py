"""Building and running a TensorRT engine: the calls that are the same in TensorRT 10.x and 11.x.

``trt`` is the ``tensorrt`` module, passed in so that nothing here imports it. The network is strongly typed: precision
is what the ONNX model says, on every TensorRT.
"""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway.compile.gpu import Gpu
from slipway.compile.onnx_model import BATCH, Tensor, parse, signature
from slipway.errors import CompileError
from slipway.training.arrays import Arrays


@dataclass(frozen=True)
class Profile:
    """Rows an engine must take (least, most) and those it is tuned for; memory the builder may use, bytes."""

    least: int = 1
    tuned: int = 1
    most: int = 64
    workspace: int = 1 << 30

    def shapes(self, tensor: Tensor) -> tuple[tuple[int, ...], ...]:
        """The tensor's shape for each of the three row counts.

        Raises:
            CompileError: an axis other than the rows is free.
        """
        free = [axis for axis in tensor.shape if isinstance(axis, str) and axis != BATCH]
        if free:
            raise CompileError(f"TensorRT needs fixed sizes, but the axes {free} are free; only {BATCH!r} may be")
        return tuple(
            tuple(rows if isinstance(axis, str) else axis for axis in tensor.shape)
            for rows in (self.least, self.tuned, self.most)
        )


@dataclass(frozen=True)
class Engine:
    """A serialised engine and the timing cache of its build, which makes the next build on this GPU fast."""

    plan: bytes
    timing_cache: bytes


def build_engine(trt: Any, model: bytes, profile: Profile, timing_cache: bytes = b"") -> Engine:
    """Compile an ONNX model for the GPU of this machine; bytes differ between builds (kernels are timed).

    Raises:
        CompileError: TensorRT cannot parse the model or build an engine.
    """
    builder = trt.Builder(trt.Logger(trt.Logger.WARNING))
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    _parse(trt, network, model)
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, profile.workspace)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    optimisation = builder.create_optimization_profile()
    for name, tensor in signature(parse(model)).inputs.items():
        optimisation.set_shape(name, *profile.shapes(tensor))
    config.add_optimization_profile(optimisation)
    config.set_timing_cache(config.create_timing_cache(timing_cache), ignore_mismatch=False)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise CompileError(f"TensorRT {trt.__version__} built no engine; its log above says which layer failed")
    return Engine(plan=bytes(plan), timing_cache=bytes(config.get_timing_cache().serialize()))


def _parse(trt: Any, network: Any, model: bytes) -> None:
    parser = trt.OnnxParser(network, trt.Logger(trt.Logger.WARNING))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        path.write_bytes(model)
        parsed = parser.parse_from_file(str(path))
    if not parsed:
        errors = [parser.get_error(index) for index in range(parser.num_errors)]
        reasons = "; ".join(f"{error.node_operator()} {error.node_name()}: {error.desc()}" for error in errors)
        raise CompileError(f"TensorRT {trt.__version__} cannot parse the model: {reasons}")


class EngineSession:
    """An engine loaded by TensorRT's own runtime on this machine's GPU.

    Raises:
        CompileError: the runtime refuses the engine (other TensorRT, other GPU).
    """

    def __init__(self, trt: Any, gpu: Gpu, plan: bytes, most_rows: int) -> None:
        self._trt = trt
        self._gpu = gpu
        self._most_rows = most_rows
        # The runtime must outlive its engine, and the engine its context.
        self._runtime = trt.Runtime(trt.Logger(trt.Logger.WARNING))
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise CompileError(f"TensorRT {trt.__version__} refuses the engine it was given; build it on this machine")
        self._context = self._engine.create_execution_context()
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        modes = {name: self._engine.get_tensor_mode(name) for name in names}
        (self._output,) = [name for name in names if modes[name] == trt.TensorIOMode.OUTPUT]

    def run(self, inputs: Arrays) -> NDArray[np.float32]:
        """Logits float32 [rows, classes]; more rows than the profile allows go in parts.

        Raises:
            CompileError: the engine fails to run.
        """
        rows = len(next(iter(inputs.values())))
        parts = [
            self._run({name: values[start : start + self._most_rows] for name, values in inputs.items()})
            for start in range(0, rows, self._most_rows)
        ]
        return np.concatenate(parts)

    def _run(self, inputs: Arrays) -> NDArray[np.float32]:
        addresses = []
        try:
            for name, values in inputs.items():
                self._context.set_input_shape(name, values.shape)
                addresses.append(self._gpu.upload(values))
                self._context.set_tensor_address(name, addresses[-1])
            shape = tuple(self._context.get_tensor_shape(self._output))
            logits = np.empty(shape, dtype=self._trt.nptype(self._engine.get_tensor_dtype(self._output)))
            addresses.append(self._gpu.allocate(math.prod(shape) * logits.itemsize))
            self._context.set_tensor_address(self._output, addresses[-1])
            if not self._context.execute_async_v3(self._gpu.stream):
                raise CompileError(f"TensorRT {self._trt.__version__} could not run the engine; its log says why")
            self._gpu.download(addresses[-1], into=logits)
        finally:
            for address in addresses:
                self._gpu.release(address)
        return logits.astype(np.float32)
