"""What the tests of the stages share: a lake, a ledger on disk, and a registry, all empty."""

import pytest

from slipway.ledger.store import Ledger
from slipway.stages import register, release
from tests.simulators.lake import LakeSimulator
from tests.simulators.ledger import ledger_at
from tests.simulators.registry import RegistrySimulator


@pytest.fixture
def lake() -> LakeSimulator:
    return LakeSimulator()


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    return ledger_at(tmp_path)


@pytest.fixture
def registry(monkeypatch) -> RegistrySimulator:
    """Stands where the stages look for MLflow's functions."""
    simulator = RegistrySimulator()
    for stage in (register, release):
        monkeypatch.setattr(stage, "mlflow_registry", simulator)
    return simulator
