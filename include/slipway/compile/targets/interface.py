"""What a target's compiler takes and gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from slipway.compile.samples import Samples
from slipway.training.arrays import Arrays


class Session(Protocol):
    """A compiled model, loaded in the target's own runtime."""

    def run(self, inputs: Arrays) -> NDArray[np.float32]:
        """Logits float32 [rows, classes] for inputs by name."""
        ...


@dataclass(frozen=True)
class Source:
    """What is compiled: the canonical ONNX bytes and the training inputs that set a quantised model's ranges.

    ``calibration`` reads them when called; a target that stays in floating point never does.
    """

    onnx: bytes
    calibration: Callable[[], Samples]


@dataclass(frozen=True)
class Built:
    """A compiled artifact and what a device must know before loading it."""

    artifact: str
    """File name below the target's folder."""
    data: bytes
    runtime: str
    runtime_version: str
    """Version specifier (PEP 440) of the runtimes that may load it."""
    architecture: str
    """``platform.machine()`` of the devices it is for."""
    precision: str
    compiler: Mapping[str, str]
    """Version of every program that shaped the bytes."""
    hardware: str
    """What it was built and measured on."""
    load: Callable[[], Session]
    engine: Mapping[str, Any] | None = None
    """What else must match where an artifact fits one piece of hardware only."""
    extras: Mapping[str, bytes] = field(default_factory=dict)
    """Files kept beside the artifact."""
    deterministic: bool = True
    """Whether compiling again gives the same bytes; not so where kernels are chosen by timing them."""


@dataclass(frozen=True)
class Skipped:
    """This machine cannot build the target; ``reason`` says why and where it can be built."""

    reason: str


class Target(Protocol):
    """One kind of device (a module with this function)."""

    def build(self, source: Source) -> Built | Skipped:
        """Compile for the target.

        Raises:
            CompileError: the machine has what it takes, but the model cannot be compiled.
        """
        ...
