"""The user's model module, ``include/models/<name>.py``: loaded by path, checked before anything is computed."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from slipway.errors import ModelError
from slipway.training.arrays import Arrays

INPUT_TYPES = ("float32", "int64")
"""What ``encode`` may return: types every edge runtime takes."""


class ModelModule(Protocol):
    """What a model module has to offer; ``fit_statistics(model, inputs)`` may be there as well."""

    LABEL: str
    """Label column of the features dataset; never a model input."""
    CLASSES: tuple[str, ...]
    COLUMNS: tuple[str, ...]
    """Feature columns ``encode`` reads."""

    def encode(self, frame: pd.DataFrame) -> dict[str, NDArray[Any]]:
        """Model inputs by the names of ``forward``'s parameters; first axis rows; float32 or int64."""

    def labels(self, frame: pd.DataFrame) -> NDArray[np.int64]:
        """Index into ``CLASSES``, int64 [rows]."""

    def build(self, parameters: Mapping[str, Any]) -> Any:
        """A ``torch.nn.Module`` whose ``forward(**inputs)`` gives logits, float32 [rows, classes]."""


@dataclass(frozen=True)
class Encoded:
    """Rows as a model takes them: inputs by name, and int64 [rows] labels."""

    inputs: Arrays
    labels: NDArray[np.int64]

    @property
    def rows(self) -> int:
        return len(self.labels)


def load_model_module(path: Path) -> ModelModule:
    """Import a model module from its file.

    Raises:
        ModelError: there is no such file, importing it fails, or it lacks what ``ModelModule`` asks for.
    """
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in path.parent.glob("*.py"))) or "none"
        raise ModelError(f"no model module {path.stem!r} in {path.parent} (there are: {known})")
    module = _import(path)
    problems = _problems(module)
    if problems:
        raise ModelError(f"{path}: not usable as a model module: {'; '.join(problems)}")
    return cast(ModelModule, module)


def build(module: ModelModule, parameters: Mapping[str, Any]) -> Any:
    """The module's network.

    Raises:
        ModelError: it needs a parameter that is missing or does not fit.
    """
    try:
        return module.build(parameters)
    except KeyError as error:
        raise ModelError(f"the model needs the parameter {error}: set it under training.parameters") from error
    except (TypeError, ValueError) as error:
        raise ModelError(f"the model cannot be built from {dict(parameters)}: {error}") from error


def encode(module: ModelModule, frame: pd.DataFrame) -> Encoded:
    """Encode a frame and check what came out.

    Raises:
        ModelError: inputs or labels are not of the types and lengths ``ModelModule`` asks for.
    """
    encoded = Encoded(module.encode(frame), module.labels(frame))
    for name, values in encoded.inputs.items():
        if values.dtype.name not in INPUT_TYPES or len(values) != len(frame):
            raise ModelError(
                f"encode: expected {name!r} as {' or '.join(INPUT_TYPES)} with {len(frame)} rows, "
                f"got {values.dtype.name} {list(values.shape)}"
            )
    if not encoded.inputs:
        raise ModelError("encode: expected at least one input, got none")
    labels, classes = encoded.labels, len(module.CLASSES)
    if labels.shape != (len(frame),) or labels.dtype != np.int64 or labels.min() < 0 or labels.max() >= classes:
        raise ModelError(
            f"labels: expected int64 [{len(frame)}] from 0 to {classes - 1}, got {labels.dtype.name} "
            f"{list(labels.shape)}: check LABEL and CLASSES"
        )
    return encoded


def _import(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"slipway_model_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ModelError(f"{path}: expected a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a user's module does when it is imported
        raise ModelError(f"{path}: importing it failed: {type(error).__name__}: {error}") from error
    return module


def _problems(module: ModuleType) -> list[str]:
    problems = [f"{name} is missing" for name in ("LABEL", "CLASSES", "COLUMNS") if not hasattr(module, name)]
    problems += [
        f"{name}() is missing" for name in ("encode", "labels", "build") if not callable(getattr(module, name, None))
    ]
    if problems:
        return problems
    for name, least in (("CLASSES", 2), ("COLUMNS", 1)):
        values = getattr(module, name)
        if not isinstance(values, tuple) or len(set(values)) != len(values) or len(values) < least:
            problems.append(f"{name} must be a tuple of at least {least} different strings, is {values!r:.80}")
    if module.LABEL in module.COLUMNS:
        problems.append(f"COLUMNS holds the label {module.LABEL!r}, which no model may see")
    return problems
