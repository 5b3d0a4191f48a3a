"""SIGKILL after every effect of a release, on a channel of files and with a real MLflow: its retry is one release."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from slipway.compile.onnx_model import canonical_bytes
from slipway.connections import ChannelConnection, LakeConnection, LedgerConnection, MlflowConnection
from slipway.errors import RolledBackError
from slipway.ledger.effects import Intents, Origin
from slipway.ledger.store import Ledger
from slipway.registry import mlflow_registry
from slipway.registry.aliases import CHAMPION
from slipway.registry.client import connect
from slipway.registry.registration import Registration
from slipway.release.channel import Channel
from slipway.release.rollout import Rollout
from slipway.release.version_files import PROVENANCE
from slipway.stages import intended, release
from slipway.stages.recorded import recorded_channel
from tests.integration.mlflow_server import running_mlflow
from tests.integration.worker import Services, Worker, settled
from tests.simulators.channel import version_files
from tests.simulators.evidence import FleetSimulator
from tests.simulators.ledger import ledger_connection, record_version
from tests.unit.stages.released import ASKED, PIPELINE

NAME, FIRST, SECOND = PIPELINE.name, "manual__1", "manual__2"
NO_LAKE = LakeConnection("http://127.0.0.1:1", "key", "secret")
PUBLISHED = len(PIPELINE.release.phases) + 2
"""A release's states: prepared, each phase, and its end."""


def model() -> bytes:
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["numeric", "weight"], ["logits"], "dense")],
        "linear",
        [helper.make_tensor_value_info("numeric", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(np.arange(6, dtype=np.float32).reshape(3, 2), "weight")],
    )
    return canonical_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10))


@dataclass(frozen=True)
class Line:
    """The tasks of one release, run as Airflow runs them, in a worker that may be killed."""

    services: Services
    folder: Path
    version: str
    run: str
    last: str = "complete"

    @property
    def place(self) -> ChannelConnection:
        return ChannelConnection("http://127.0.0.1:1", f"{self.folder}/channel", f"{self.folder}/keys", "token")

    def __call__(self, worker: Worker) -> None:
        channel = worker.fuse.watch(Channel(self.place), "publish", "rollback")
        ledger = worker.fuse.watch(Ledger(worker.ledger_place), "record")
        release.Channel = lambda _connection: channel
        release.GatewayClient = lambda _connection: FleetSimulator(channel)
        release.mlflow_registry = worker.fuse.watch(mlflow_registry, "set_alias")

        def task(name: str, work: Callable[[Intents, Rollout], Any]) -> None:
            def recorded(intents: Intents, _lake: Any) -> None:
                made = release.rollout_of(self.place, PIPELINE, self.version, self.run)
                work(intents, replace(made, channel=recorded_channel(made.channel, intents)))

            worker.task(self.origin(name), recorded)

        def complete(intents: Intents, rollout: Rollout) -> None:
            with intents.intended(intended.set_alias(NAME, CHAMPION, self.version)):
                release.complete(rollout, worker.mlflow, ledger, [], **ASKED)

        def roll_back(_intents: Intents, rollout: Rollout) -> None:
            with pytest.raises(RolledBackError):
                release.roll_back(rollout, ledger, [], **ASKED)

        task("prepare", lambda _, rollout: release.prepare(rollout, worker.mlflow, self.place, ledger))
        for percent in PIPELINE.release.phases:
            task(f"open_{percent}", lambda _, rollout, to=percent: rollout.open_phase(to))
        task(self.last, {"complete": complete, "roll_back": roll_back}[self.last])

    def origin(self, task: str) -> Origin:
        return Origin(NAME, "release", f"{NAME}.release", self.run, task)


@pytest.fixture(scope="module")
def registry(tmp_path_factory) -> Iterator[MlflowConnection]:
    """Versions 1 and 2."""
    with running_mlflow(tmp_path_factory.mktemp("mlflow")) as connection:
        for number in ("1", "2"):
            files = version_files(content=number.encode())
            artifacts = {path: files[path] for path in files if path not in ("MLmodel", PROVENANCE)}
            example = {"numeric": np.ones((2, 3), np.float32)}
            given = Registration(NAME, number * 64, model(), artifacts, input_example=example)
            assert mlflow_registry.register(connection, given) == number
        yield connection


@pytest.fixture(scope="module")
def released(registry, tmp_path_factory) -> Path:
    """A channel and a ledger (SQLite) after the release of version 1."""
    folder = tmp_path_factory.mktemp("released")
    place = ledger_connection(folder)
    ledger = Ledger(place)
    for version in ("1", "2"):
        record_version(ledger, NAME, version, mlflow_registry.digests(registry, NAME, version))
    ledger.database.engine.dispose()
    services = Services(NO_LAKE, place, registry)
    code, _ = services.run(Line(services, folder, "1", FIRST), folder)
    assert code == 0
    return folder


def begin(released: Path, registry: MlflowConnection, folder: Path, last: str) -> Line:
    """The release of version 2 over version 1, on a copy of everything but MLflow, whose alias is moved back."""
    shutil.copytree(released, folder)
    for kept in folder.glob("*.json"):
        kept.unlink()
    mlflow_registry.set_alias(registry, NAME, CHAMPION, "1")
    place: LedgerConnection = ledger_connection(folder)
    services = Services(NO_LAKE, place, registry)
    return Line(services, folder, "2", SECOND, last)


def require_one_release(line: Line, registry: MlflowConnection, serial: int, told: str) -> None:
    state = Channel(line.place).state(NAME)
    assert state is not None and state.next is None and state.serial == serial + PUBLISHED, told
    everybodys = {"complete": "2", "roll_back": "1"}[line.last]
    assert state.current == everybodys, told
    assert connect(registry).get_registered_model(NAME).aliases[CHAMPION] == everybodys, told
    with settled(line.services.ledger) as effects:
        (statement,) = Ledger(line.services.ledger).statements(NAME, release.STAGE, "2")
        records = [record for record in effects.records() if record.origin.run_id == SECOND]
    outcome = {"complete": "completed", "roll_back": "rolled_back"}[line.last]
    assert statement.details["outcome"] == outcome, told
    assert {record.state for record in records} == {"done"}, told
    assert len(records) == PUBLISHED + (line.last == "complete"), told


@pytest.mark.timeout(900)
@pytest.mark.parametrize("last", ["complete", "roll_back"])
def test_a_worker_killed_at_any_moment_of_a_release_leaves_one_release(released, registry, tmp_path, last):
    assert mlflow.__version__  # imported here, so that no worker has to
    whole = begin(released, registry, tmp_path / "whole", last)
    before = Channel(whole.place).state(NAME)
    assert before is not None and before.current == "1"
    code, moments = whole.services.run(whole, whole.folder)
    changed = {"publish", "record", "set_alias"} if last == "complete" else {"publish", "record", "rollback"}
    assert code == 0 and changed | {"intents written", "intents closed"} == set(moments)
    require_one_release(whole, registry, before.serial, "without a kill")
    for number, moment in enumerate(moments, start=1):
        line, told = begin(released, registry, tmp_path / f"{number}", last), f"killed after moment {number}, {moment}"
        code, passed = line.services.run(line, line.folder, die_after=number)
        assert code == -9 and passed == moments[:number], told
        code, _ = line.services.run(line, line.folder)
        assert code == 0, told
        require_one_release(line, registry, before.serial, told)
