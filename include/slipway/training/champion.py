"""The champion, judged on the same held-out rows as the model that wants its place."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import mlflow  # noqa: TID253 - only the training pod imports this adapter
import numpy as np
from mlflow.tracking import MlflowClient  # noqa: TID253
from numpy.typing import NDArray

from slipway.compile.onnx_session import OnnxSession
from slipway.errors import CompileError, ModelError
from slipway.training.arrays import Arrays
from slipway.training.metrics import measure
from slipway.training.tracking import translated

ALIAS = "champion"
ARTIFACT = "model.onnx"


def measure_champion(
    client: MlflowClient, name: str, inputs: Arrays, labels: NDArray[np.int64], classes: int
) -> dict[str, Any] | None:
    """Metrics of the registered model's champion, with its ``version``; None if there is no champion.

    Raises:
        UnavailableError: MLflow does not answer.
        ModelError: there is a champion, but it cannot be run on these rows.
    """
    with translated():
        version = champion_version(client, name)
        if version is None:
            return None
        model = _download(name, version)
    try:
        logits = OnnxSession(model).run(inputs)
    except CompileError as error:
        raise ModelError(
            f"champion version {version} of {name} cannot be run on the held-out rows as this model encodes them: "
            f"{error}; if the inputs changed on purpose, remove the alias {ALIAS!r} in MLflow, and the baseline decides"
        ) from error
    if logits.shape != (len(labels), classes):
        raise ModelError(
            f"champion version {version} of {name}: expected logits [{len(labels)}, {classes}], got "
            f"{list(logits.shape)}; if the classes changed on purpose, remove the alias {ALIAS!r} in MLflow"
        )
    return {"version": version, **measure(logits, labels)}


def champion_version(client: MlflowClient, name: str) -> str | None:
    """The version the alias ``champion`` names, if the model is registered and has one."""
    for model in client.search_registered_models(filter_string=f"name = '{name}'"):
        version = model.aliases.get(ALIAS)
        return None if version is None else str(version)
    return None


def _download(name: str, version: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        uri = f"models:/{name}/{version}/{ARTIFACT}"
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=folder)).read_bytes()
