"""What the tests of the stages share: a lake, a ledger on disk, and a registry, all empty."""

import pytest

from slipway.connections import LedgerConnection
from slipway.ledger.statements import Ledger
from slipway.stages import register, release
from tests.simulators.lake import LakeSimulator
from tests.simulators.registry import RegistrySimulator


@pytest.fixture
def lake() -> LakeSimulator:
    return LakeSimulator()


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    return Ledger(LedgerConnection(f"sqlite:///{tmp_path}/ledger.db"))


@pytest.fixture
def registry(monkeypatch) -> RegistrySimulator:
    """Stands where the stages look for MLflow's functions."""
    simulator = RegistrySimulator()
    for stage in (register, release):
        monkeypatch.setattr(stage, "mlflow_registry", simulator)
    return simulator
