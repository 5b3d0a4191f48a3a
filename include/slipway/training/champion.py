"""The champion, judged on the same held-out rows as the model that wants its place."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import mlflow  # noqa: TID253 - only the training pod imports this adapter
import numpy as np
from numpy.typing import NDArray

from slipway.compile.onnx_session import OnnxSession
from slipway.errors import CompileError, ModelError
from slipway.registry.aliases import CHAMPION
from slipway.training.arrays import Arrays
from slipway.training.metrics import measure
from slipway.training.tracking import translated

ARTIFACT = "model.onnx"


def measure_champion(
    name: str, version: str | None, inputs: Arrays, labels: NDArray[np.int64], classes: int
) -> dict[str, Any] | None:
    """Metrics of a registered version, with its ``version``; None when there is no champion to compare with.

    The version is told, not looked up: it is part of the run's fingerprint, and an alias may move meanwhile.

    Raises:
        UnavailableError: MLflow does not answer.
        ModelError: that version does not exist, or cannot be run on these rows.
    """
    if version is None:
        return None
    with translated():
        model = _download(name, version)
    try:
        logits = OnnxSession(model).run(inputs)
    except CompileError as error:
        raise ModelError(
            f"champion version {version} of {name} cannot be run on the held-out rows as this model encodes them: "
            f"{error}; if the inputs changed on purpose, remove the alias {CHAMPION!r} in MLflow: then the baseline "
            "decides"
        ) from error
    if logits.shape != (len(labels), classes):
        raise ModelError(
            f"champion version {version} of {name}: expected logits [{len(labels)}, {classes}], got "
            f"{list(logits.shape)}; if the classes changed on purpose, remove the alias {CHAMPION!r} in MLflow"
        )
    return {"version": version, **measure(logits, labels)}


def _download(name: str, version: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        uri = f"models:/{name}/{version}/{ARTIFACT}"
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=folder)).read_bytes()
