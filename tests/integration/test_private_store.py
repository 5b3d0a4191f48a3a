"""What a training that is made again finds in place of MLflow."""

from __future__ import annotations

from pathlib import Path

import mlflow
import pytest

from slipway.connections import MlflowConnection
from slipway.errors import RegistryError
from slipway.registry import private_store
from slipway.registry.private_store import private_store as make_store


class _Registry:
    """Stands where the store looks for the registry's downloads."""

    def download(self, connection: MlflowConnection, name: str, version: str, paths: list[str]) -> dict[str, bytes]:
        if version != "3":
            raise RegistryError(f"{name} has no version {version}")
        return {path: b"the champion's " + path.encode() for path in paths}


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> MlflowConnection:
    monkeypatch.setattr(private_store, "mlflow_registry", _Registry())
    return MlflowConnection("http://127.0.0.1:9")


def test_the_champion_is_there_under_its_own_number_and_nothing_else(
    registry: MlflowConnection, tmp_path: Path
) -> None:
    made = make_store(tmp_path / "store", registry, "flight_delay", "3")
    mlflow.set_tracking_uri(made.tracking_uri)
    try:
        place = mlflow.artifacts.download_artifacts(
            artifact_uri="models:/flight_delay/3/model.onnx", dst_path=str(tmp_path)
        )
    finally:
        mlflow.set_tracking_uri(None)
    assert Path(place).read_bytes() == b"the champion's model.onnx"


def test_a_champion_that_is_gone_is_an_error(registry: MlflowConnection, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="no version 4"):
        make_store(tmp_path / "store", registry, "flight_delay", "4")
