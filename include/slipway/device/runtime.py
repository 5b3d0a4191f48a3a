"""What the agent asks of an inference runtime; each runtime is one adapter module named after it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

Tensors = Mapping[str, NDArray[Any]]
"""Model inputs by name; the first axis is rows."""


class Session(Protocol):
    """A loaded model."""

    @property
    def inputs(self) -> Mapping[str, str]:
        """The numpy dtype of each input, by name."""

    def run(self, inputs: Tensors) -> NDArray[Any]:
        """Logits, float [rows, classes]."""


class Runtime(Protocol):
    """Loads artifacts; ``name`` and ``version`` are compared with a manifest before that."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    def load(self, artifact: Path) -> Session:
        """Load a model file; raises IncompatibleError when the runtime refuses it."""
