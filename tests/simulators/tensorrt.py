"""TensorRT and a GPU in memory: the calls that 10.x and 11.x share, executed by ONNX Runtime.

A plan is the ONNX model behind a header that names the version and GPU it was built for; the runtime refuses another
one's plan, as the real one does. ``SimulatedTensorRT`` stands for the ``tensorrt`` module, ``GpuSimulator`` for a GPU.
"""

from __future__ import annotations

from enum import IntEnum
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

from slipway.compile.gpu import GpuFacts

ORIN = GpuFacts(name="Orin", compute_capability="8.7", multiprocessors=16, driver="12.6", cuda="12.6")


class TensorIOMode(IntEnum):
    INPUT = 1
    OUTPUT = 2


class GpuSimulator:
    """Addresses into host memory."""

    def __init__(self, facts: GpuFacts = ORIN) -> None:
        self.stream = 7
        self.memory: dict[int, bytearray] = {}
        self._facts = facts
        self._next = 4096

    def facts(self) -> GpuFacts:
        return self._facts

    def allocate(self, size: int) -> int:
        address, self._next = self._next, self._next + size + 256
        self.memory[address] = bytearray(size)
        return address

    def upload(self, values: np.ndarray[Any, Any]) -> int:
        address = self.allocate(values.nbytes)
        self.memory[address][:] = np.ascontiguousarray(values).tobytes()
        return address

    def download(self, address: int, into: np.ndarray[Any, Any]) -> None:
        into[...] = np.frombuffer(self.memory[address], dtype=into.dtype).reshape(into.shape)

    def release(self, address: int) -> None:
        del self.memory[address]


class Logger:
    WARNING = 2

    def __init__(self, level: int) -> None:
        self.level = level


class _Profile:
    def __init__(self) -> None:
        self.shapes: dict[str, tuple[tuple[int, ...], ...]] = {}

    def set_shape(self, name: str, least: tuple[int, ...], tuned: tuple[int, ...], most: tuple[int, ...]) -> None:
        self.shapes[name] = (least, tuned, most)


class _Config:
    def __init__(self) -> None:
        self.profiles: list[_Profile] = []
        self.profiling_verbosity: Any = None
        self.limits: dict[Any, int] = {}
        self._cache = b""

    def set_memory_pool_limit(self, pool: Any, size: int) -> None:
        self.limits[pool] = size

    def add_optimization_profile(self, profile: _Profile) -> int:
        self.profiles.append(profile)
        return len(self.profiles) - 1

    def create_timing_cache(self, blob: bytes) -> bytes:
        return blob or b"empty"

    def set_timing_cache(self, cache: bytes, ignore_mismatch: bool) -> bool:
        self._cache = cache
        return True

    def get_timing_cache(self) -> Any:
        return SimpleNamespace(serialize=lambda: self._cache + b"+timed")


class _ParserError:
    def __init__(self, operator: str) -> None:
        self._operator = operator

    def node_operator(self) -> str:
        return self._operator

    def node_name(self) -> str:
        return "node_0"

    def desc(self) -> str:
        return "no importer registered for op"


class SimulatedTensorRT:
    """The ``tensorrt`` module of one version on one GPU. ``fails_to_build`` makes the builder give up."""

    NetworkDefinitionCreationFlag = IntEnum("NetworkDefinitionCreationFlag", {"STRONGLY_TYPED": 1})
    MemoryPoolType = IntEnum("MemoryPoolType", {"WORKSPACE": 0})
    ProfilingVerbosity = IntEnum("ProfilingVerbosity", {"DETAILED": 2})
    TensorIOMode = TensorIOMode
    Logger = Logger

    def __init__(self, gpu: GpuSimulator, version: str = "10.3.0", *, fails_to_build: bool = False) -> None:
        self.__version__ = version
        self._gpu = gpu
        self._fails = fails_to_build

    def nptype(self, dtype: Any) -> Any:
        return dtype

    def Builder(self, logger: Logger) -> Any:  # noqa: N802 - TensorRT's name
        def create_network(flags: int) -> Any:
            assert flags == 1 << int(self.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
            return SimpleNamespace(model=b"")

        def build(network: Any, config: _Config) -> bytes | None:
            taken = {value.name for value in onnx.load_model_from_string(network.model).graph.input}
            assert {name for profile in config.profiles for name in profile.shapes} == taken
            return None if self._fails else self._header() + network.model

        return SimpleNamespace(
            create_network=create_network,
            create_builder_config=_Config,
            create_optimization_profile=_Profile,
            build_serialized_network=build,
        )

    def OnnxParser(self, network: Any, logger: Logger) -> Any:  # noqa: N802 - TensorRT's name
        errors: list[_ParserError] = []

        def parse_from_file(path: str) -> bool:
            model = onnx.load(path)
            errors.extend(_ParserError(node.op_type) for node in model.graph.node if node.op_type == "StringNormalizer")
            network.model = model.SerializeToString()
            parser.num_errors = len(errors)
            return not errors

        parser = SimpleNamespace(parse_from_file=parse_from_file, num_errors=0, get_error=errors.__getitem__)
        return parser

    def Runtime(self, logger: Logger) -> Any:  # noqa: N802 - TensorRT's name
        def deserialize(plan: bytes) -> Any:
            return _Engine(plan.removeprefix(self._header()), self._gpu) if plan.startswith(self._header()) else None

        return SimpleNamespace(deserialize_cuda_engine=deserialize)

    def _header(self) -> bytes:
        return f"plan {self.__version__} {self._gpu.facts().compute_capability}\n".encode()


class _Engine:
    def __init__(self, model: bytes, gpu: GpuSimulator) -> None:
        self.session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
        self.gpu = gpu
        self.inputs = {value.name: value.type for value in self.session.get_inputs()}
        self.names = [*self.inputs, *(value.name for value in self.session.get_outputs())]
        self.num_io_tensors = len(self.names)

    def get_tensor_name(self, index: int) -> str:
        return self.names[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name in self.inputs else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> Any:
        return np.int64 if self.inputs.get(name) == "tensor(int64)" else np.float32

    def create_execution_context(self) -> _Context:
        return _Context(self)


class _Context:
    def __init__(self, engine: _Engine) -> None:
        self._engine = engine
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        assert shape[0] <= 64, "more rows than the profile allows"
        self._shapes[name] = shape
        return True

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        (output,) = self._engine.session.get_outputs()
        rows = next(iter(self._shapes.values()))[0]
        return (rows, *output.shape[1:])

    def execute_async_v3(self, stream: int) -> bool:
        engine = self._engine
        feeds = {
            name: np.frombuffer(engine.gpu.memory[self._addresses[name]], engine.get_tensor_dtype(name)).reshape(shape)
            for name, shape in self._shapes.items()
        }
        (logits,) = engine.session.run(None, feeds)
        (output,) = set(engine.names) - set(engine.inputs)
        engine.gpu.memory[self._addresses[output]][:] = logits.tobytes()
        return stream == engine.gpu.stream
