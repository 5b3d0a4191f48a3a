"""The GPU of this machine through NVIDIA's CUDA runtime (``cuda-bindings``): facts, memory, one stream."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from slipway.errors import CompileError


@dataclass(frozen=True)
class GpuFacts:
    """What an engine is tied to. ``driver`` and ``cuda`` are CUDA version numbers such as ``12.6``."""

    name: str
    compute_capability: str
    multiprocessors: int
    driver: str
    cuda: str


class Gpu(Protocol):
    """One GPU: facts, and memory in the order of one stream."""

    stream: int
    """The stream's handle."""

    def facts(self) -> GpuFacts: ...

    def upload(self, values: NDArray[np.generic]) -> int:
        """Copy an array to the GPU; returns the address, which ``release`` frees."""
        ...

    def allocate(self, size: int) -> int:
        """Reserve ``size`` bytes; returns the address, which ``release`` frees."""
        ...

    def download(self, address: int, into: NDArray[np.generic]) -> None:
        """Wait for the stream, then fill ``into`` from the GPU."""
        ...

    def release(self, address: int) -> None: ...


class CudaGpu:
    """The first GPU CUDA sees.

    Raises:
        ImportError: cuda-bindings is not installed.
        CompileError: CUDA fails; with no GPU or no driver its own words say so.
    """

    def __init__(self) -> None:
        # By name: only machines with an NVIDIA GPU have it.
        self._cuda: Any = import_module("cuda.bindings.runtime")
        self._check(self._cuda.cudaSetDevice(0))
        self.stream = int(self._check(self._cuda.cudaStreamCreate()))

    def facts(self) -> GpuFacts:
        properties = self._check(self._cuda.cudaGetDeviceProperties(0))
        return GpuFacts(
            name=properties.name.decode().rstrip("\0"),
            compute_capability=f"{properties.major}.{properties.minor}",
            multiprocessors=int(properties.multiProcessorCount),
            driver=_dotted(self._check(self._cuda.cudaDriverGetVersion())),
            cuda=_dotted(self._check(self._cuda.cudaRuntimeGetVersion())),
        )

    def upload(self, values: NDArray[np.generic]) -> int:
        contiguous = np.ascontiguousarray(values)
        address = self.allocate(contiguous.nbytes)
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._check(self._cuda.cudaMemcpy(address, contiguous.ctypes.data, contiguous.nbytes, kind))
        return address

    def allocate(self, size: int) -> int:
        return int(self._check(self._cuda.cudaMalloc(size)))

    def download(self, address: int, into: NDArray[np.generic]) -> None:
        self._check(self._cuda.cudaStreamSynchronize(self.stream))
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._check(self._cuda.cudaMemcpy(into.ctypes.data, address, into.nbytes, kind))

    def release(self, address: int) -> None:
        self._check(self._cuda.cudaFree(address))

    def _check(self, answer: tuple[Any, ...]) -> Any:
        """Every CUDA call answers ``(error, *values)``."""
        error, *values = answer
        if error != self._cuda.cudaError_t.cudaSuccess:
            raise CompileError(f"CUDA: {error.name}")
        return values[0] if values else None


def _dotted(version: int) -> str:
    """CUDA's 12060 as 12.6."""
    return f"{version // 1000}.{version % 1000 // 10}"
