"""SIGKILL after every effect of a pod's work, and a retry: one statement, its outputs whole, and no pod twice."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest

from slipway.connections import MlflowConnection
from slipway.identity.code import combined
from slipway.lake.client import Lake
from slipway.ledger.effects import Origin
from slipway.ledger.store import Ledger
from slipway.pods.result import RESULT, PodResult, read_result, upload, write_result
from slipway.settings import settings
from slipway.stages import intended
from slipway.stages.pod_work import conclude_work, reuse_work
from tests.contract.lake.server import running_server
from tests.integration.ledger import postgresql_ledger
from tests.integration.worker import Services, Worker, settled
from tests.simulators.ledger import ledger_connection
from tests.unit.stages.trained import PIPELINE, RUN, planned

WORK = "train"
FILES = {"model.safetensors": b"weights", "golden.npz": b"golden"}
NEXT = replace(RUN, run_id="run-8")
DECISIONS = {
    "miss": {},
    "recheck": {"recheck": 1.0},
    "force": {"force": True},
    "hit": {},
}
MOMENTS = {
    "miss": {"put", "commit", "record"},
    "recheck": {"delete_many", "put", "commit", "record"},
    "force": {"delete_many", "put", "commit", "record"},
    "hit": {"copy", "commit", "record"},
}


@pytest.fixture(scope="module")
def services(tmp_path_factory):
    keys = ledger_connection(tmp_path_factory.mktemp("keys")).keys
    with postgresql_ledger() as ledger, running_server(tmp_path_factory.mktemp("lake")) as lake:
        yield Services(lake, replace(ledger, keys=keys), MlflowConnection("http://127.0.0.1:1"))


class Line:
    """The train work of one run, which the ledger answers with ``outcome``."""

    def __init__(self, services: Services, name: str, outcome: str) -> None:
        self.outcome, self.decision = outcome, DECISIONS[outcome]
        lake = Lake(services.lake)
        # Compared with another champion it is another training, on a branch of its own.
        self.plan = planned(lake, champion=name)
        self.output, self.work = self.plan.output(WORK), self.plan.works[WORK]
        self.origin = Origin(PIPELINE.name, "train", NEXT.dag_id, name, WORK)
        if outcome != "miss":
            self._earlier(services, lake)

    def _earlier(self, services: Services, lake: Lake) -> None:
        self._pod(lake, RUN.run_id)
        place, started = (self.plan, WORK, RUN), dt.datetime.now(dt.UTC)
        with settled(services.ledger):
            conclude_work(lake, Ledger(services.ledger), *place, root=settings().root, started=started)
        if self.outcome == "hit":
            lake.delete_many(self.output.repository, self.output.ref, [(self.output / RESULT).path])
            lake.put(self.output / "model.safetensors", b"half of it")

    def _pod(self, lake: Lake, run: str) -> None:
        code = combined(self.plan.ingredients(WORK).code)
        known = {"stage": WORK, "fingerprint": self.work.fingerprint, "status": "built", "hardware": "cpu"}
        outputs = upload(lake, self.output, FILES)
        write_result(lake, self.output, PodResult(outputs=outputs, run=run, code=code, **known))

    def __call__(self, worker: Worker) -> None:
        ledger = worker.fuse.watch(Ledger(worker.ledger_place), "record")
        place, started = (ledger, self.plan, WORK), dt.datetime.now(dt.UTC)

        def work(intents, lake):
            reuse = reuse_work(lake, *place, run_id=NEXT.run_id, **self.decision)
            if not reuse.hit:
                with intents.intended(intended.pod(self.output, RESULT)):
                    with (worker.folder / "pods").open("a") as started_pods:
                        started_pods.write("pod\n")
                    self._pod(worker.fuse.watch(Lake(worker.lake_server), "put"), NEXT.run_id)
            conclude_work(lake, *place, NEXT, root=settings().root, started=started)
            return reuse.outcome

        worker.task(self.origin, work)


def require_whole(services: Services, line: Line, moment: str) -> None:
    lake, output = Lake(services.lake), line.output
    with settled(services.ledger) as effects:
        ledger = Ledger(services.ledger)
        recorded = ledger.find(line.work.fingerprint)
        stated = [
            one
            for one in ledger.statements(PIPELINE.name, WORK)
            if one.ingredients.fingerprint() == line.work.fingerprint
        ]
        records = [record for record in effects.records() if record.origin == line.origin]
    assert len(stated) == 1 and not recorded.disputed, moment
    assert {record.state for record in records} == {"done"}, moment
    result = read_result(lake, output, line.work.fingerprint)
    assert result.run == (RUN.run_id if line.outcome == "hit" else NEXT.run_id), moment
    assert {name: lake.get(output / name) for name in result.outputs} == FILES, moment
    assert lake.uncommitted(output.repository, output.ref) == (), moment
    repository, _, commit = stated[0].commits["model"].partition("@")
    kept = {item.path for item in lake.list(replace(output, repository=repository, ref=commit))}
    assert kept == {(output / name).path for name in (*FILES, RESULT)}, moment


def pods(folder) -> int:
    started = folder / "pods"
    return len(started.read_text().splitlines()) if started.exists() else 0


@pytest.mark.timeout(600)
@pytest.mark.parametrize("outcome", DECISIONS)
def test_a_worker_killed_at_any_moment_of_a_pods_work_leaves_one_statement_and_whole_outputs(
    services, tmp_path, outcome
):
    whole = Line(services, f"{outcome}-whole", outcome)
    code, moments = services.run(whole, tmp_path / "whole")
    assert code == 0 and MOMENTS[outcome] <= set(moments)
    require_whole(services, whole, "without a kill")
    made = len(moments) - moments[::-1].index("put") if "put" in moments else 0
    for number, moment in enumerate(moments, start=1):
        line, folder = Line(services, f"{outcome}-{number}", outcome), tmp_path / f"killed-{number}"
        told = f"killed after moment {number}, {moment}"
        code, passed = services.run(line, folder, die_after=number)
        assert code == -9 and passed == moments[:number], told
        before = pods(folder)
        code, _ = services.run(line, folder)
        assert code == 0, told
        require_whole(services, line, told)
        # Whose pod had finished adopts its result; whose had not runs it, forced or not.
        assert pods(folder) - before == (0 if number >= made or outcome == "hit" else 1), told
