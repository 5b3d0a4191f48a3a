"""A pipeline with registered versions and a fleet to release them to, all simulated."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from slipway.connections import ChannelConnection, MlflowConnection
from slipway.identity.digest import sha256_bytes
from slipway.ledger.statement import Statement
from slipway.pipeline.load import load_pipeline
from slipway.registry.registration import Registration
from slipway.release.rollout import Rollout
from slipway.release.version_files import PROVENANCE
from slipway.settings import settings
from slipway.stages import release
from slipway.stages.run import Run
from tests.simulators.channel import ChannelSimulator, version_files
from tests.simulators.evidence import FleetSimulator
from tests.simulators.ledger import ledger_at, record_version
from tests.simulators.registry import RegistrySimulator

PIPELINE = load_pipeline(Path(__file__).parents[3] / "include" / "pipelines" / "flight_delay.yaml")
MLFLOW = MlflowConnection("http://127.0.0.1:1")
ASKED = {
    "run": Run("flight_delay.release", "run-9", "manual", "http://127.0.0.1/runs/9"),
    "root": settings().root,
    "started": dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC),
}
"""Who released, from which checkout, and since when."""
CHANNEL = ChannelConnection("http://127.0.0.1:1", "repository", "keys", "token")
_NONE: Mapping[str, bytes] = MappingProxyType({})


class Dock:
    """Does what the release DAG's tasks do; the simulators stand where the stage looks for the real services."""

    def __init__(self, folder: Path, monkeypatch: Any) -> None:
        self.ledger = ledger_at(folder)
        self.registry = RegistrySimulator()
        self.channel = ChannelSimulator()
        self.fleet = FleetSimulator(self.channel)
        monkeypatch.setattr(release, "mlflow_registry", self.registry)
        monkeypatch.setattr(release, "Channel", lambda _connection: self.channel)
        monkeypatch.setattr(release, "GatewayClient", lambda _connection: self.fleet)

    def register(self, content: bytes, more: Mapping[str, bytes] = _NONE) -> str:
        made = {**version_files(content=content), **more}
        files = {path: data for path, data in made.items() if path not in ("MLmodel", PROVENANCE)}
        given = Registration(PIPELINE.name, sha256_bytes(content), b"canonical", files)
        version = self.registry.register(MLFLOW, given)
        record_version(self.ledger, PIPELINE.name, version, self.registry.digests(MLFLOW, PIPELINE.name, version))
        return version

    def rollout(self, version: str, run: str) -> Rollout:
        return release.rollout_of(CHANNEL, PIPELINE, version, run)

    def prepare(self, version: str, run: str, *, supersede: bool = False) -> Rollout:
        rollout = self.rollout(version, run)
        release.prepare(rollout, MLFLOW, CHANNEL, self.ledger, supersede=supersede)
        return rollout

    def observed(self, version: str, run: str) -> tuple[Rollout, list[dict[str, Any]]]:
        """A release whose phases all passed, and what was seen; only its completion is left."""
        rollout, phases = self.prepare(version, run), []
        for percent in PIPELINE.release.phases:
            rollout.open_phase(percent)
            self.fleet.poll()
            phases.append(release.phase_record(percent, rollout.observe()))
        return rollout, phases

    def complete(self, rollout: Rollout, phases: list[dict[str, Any]]) -> dict[str, Any]:
        done = release.complete(rollout, MLFLOW, self.ledger, phases, **ASKED)
        self.fleet.poll()
        return done

    def released(self, content: bytes, run: str) -> str:
        version = self.register(content)
        self.complete(*self.observed(version, run))
        return version

    def champion(self) -> str | None:
        return self.registry.champion(MLFLOW, PIPELINE.name)

    def statements(self) -> list[Statement]:
        return self.ledger.statements(PIPELINE.name, release.STAGE)
