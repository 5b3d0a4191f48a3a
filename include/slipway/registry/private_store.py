"""An MLflow of one process, on a file: what runs a training again writes there, and not into the registry."""

from __future__ import annotations

from pathlib import Path

from slipway.connections import MlflowConnection
from slipway.registry import mlflow_registry
from slipway.registry.client import translated

_MODEL = "model.onnx"


def private_store(folder: Path, registry: MlflowConnection, name: str, champion: str | None) -> MlflowConnection:
    """A store that knows nothing but the champion, under the same number as in ``registry``.

    Args:
        folder: where its files go.
        registry: where the champion's model is read.
        name: the registered model.
        champion: the version to be found there; ``None``: none.

    Raises:
        RegistryError: that version does not exist any more, or its files were changed.
        UnavailableError: the registry does not answer.
    """
    from mlflow import MlflowClient

    folder.mkdir(parents=True, exist_ok=True)
    made = MlflowConnection(f"sqlite:///{folder / 'mlflow.db'}")
    if champion is None:
        return made
    (folder / _MODEL).write_bytes(mlflow_registry.download(registry, name, champion, [_MODEL])[_MODEL])
    with translated(made):
        client = MlflowClient(made.tracking_uri, made.tracking_uri)
        client.create_registered_model(name)
        # Numbers are given in order and cannot be asked for.
        for _ in range(int(champion)):
            client.create_model_version(name, source=folder.as_uri())
    return made
