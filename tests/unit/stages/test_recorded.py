"""A lake that writes down what it is about to change."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from slipway.connections import LedgerConnection
from slipway.errors import LakeConflictError, UnavailableError
from slipway.lake.client import Lake
from slipway.lake.publish import publish
from slipway.lake.uri import LakeUri
from slipway.ledger.effects import Effects, Origin
from slipway.quality.report import Verdict
from slipway.stages.recorded import _RecordedLake, recorded_lake
from tests.simulators.channel import Killed
from tests.simulators.lake import LakeSimulator

REPO = "flights"
ORIGIN = Origin("flight_delay", "ingest", "flight_delay.ingest", "run-1", "publish")
MADE = {"slipway.fingerprint": "f" * 64}
PASSED = [Verdict("features", "pass", "features/")]


@pytest.fixture
def effects(tmp_path):
    made = Effects(LedgerConnection(f"sqlite:///{tmp_path}/ledger.db"))
    made.records()
    return made


@pytest.fixture
def lake():
    made = LakeSimulator()
    made.ensure_repository(REPO)
    return made


def write_and_publish(lake, branch="run-1", path="features/a") -> str:
    lake.create_branch(REPO, branch, "main")
    lake.put(LakeUri(REPO, branch, path), b"a")
    lake.put(LakeUri(REPO, branch, f"{path}b"), b"b")
    commit = publish(lake, REPO, branch, f"{branch}: 2 rows", MADE, verdicts=PASSED)
    lake.tag(REPO, f"v-{branch}", commit)
    lake.delete_branch(REPO, branch)
    return commit


def test_every_change_has_a_record_with_what_came_out(effects, lake, tmp_path):
    with effects.intents(ORIGIN) as intents:
        commit = write_and_publish(recorded_lake(lake, intents, tmp_path))
    head = lake.commit_info(REPO, commit).parents[1]
    records = {(record.effect.kind, record.effect.key): record for record in effects.records()}
    assert {name: record.outcome for name, record in records.items()} == {
        ("create_branch", "lakefs://flights/run-1"): lake.commit_info(REPO, commit).parents[0],
        ("upload", "lakefs://flights/run-1"): head,
        ("commit", "lakefs://flights/run-1: run-1: 2 rows"): head,
        ("merge", f"lakefs://flights/main<-{'f' * 64}"): commit,
        ("tag", "lakefs://flights/v-run-1"): "",
        ("delete_branch", "lakefs://flights/run-1"): "",
    }
    assert {record.state for record in records.values()} == {"done"}


def test_a_retry_opens_the_records_of_the_killed_try_and_no_others(effects, lake, tmp_path):
    with pytest.raises(Killed), effects.intents(ORIGIN) as intents:
        write_and_publish(recorded_lake(lake, intents, tmp_path))
        raise Killed
    first = {record.effect for record in effects.records(state="open")}
    with effects.intents(ORIGIN) as intents:
        write_and_publish(recorded_lake(lake, intents, tmp_path))
    assert {record.effect for record in effects.records()} == first
    assert {(record.state, record.attempts) for record in effects.records()} == {("done", 2)}


def test_reading_needs_no_ledger_and_changing_does(lake, tmp_path):
    away = Effects(LedgerConnection("postgresql+psycopg2://u:p@127.0.0.1:1/ledger"))
    before = lake.branches(REPO), lake.resolve(REPO, "main")
    with pytest.raises(UnavailableError), away.intents(ORIGIN) as intents:
        watched = recorded_lake(lake, intents, tmp_path)
        assert watched.branches(REPO) == ["main"]
        for change in (
            lambda: watched.create_branch(REPO, "run-1", "main"),
            lambda: watched.put(LakeUri(REPO, "main", "a"), b""),
            lambda: watched.delete(LakeUri(REPO, "main", "a")),
            lambda: watched.commit(REPO, "main", "m", {}),
            lambda: watched.merge(REPO, "main", "main", "m", {}),
            lambda: watched.tag(REPO, "t", "main"),
            lambda: watched.delete_branch(REPO, "run-1"),
        ):
            with pytest.raises(UnavailableError, match="slipway_ledger"):
                change()
    assert (lake.branches(REPO), lake.resolve(REPO, "main")) == before and lake.tags(REPO) == {}


def test_a_refused_merge_frees_its_lock(effects, lake, tmp_path):
    for branch in ("one", "two"):
        lake.create_branch(REPO, branch, "main")
        lake.put(LakeUri(REPO, branch, "same"), branch.encode())
        lake.commit(REPO, branch, branch, {})
    with effects.intents(ORIGIN) as intents:
        watched = recorded_lake(lake, intents, tmp_path)
        watched.merge(REPO, "one", "main", "one", {})
        for _ in range(2):
            with pytest.raises(LakeConflictError):
                watched.merge(REPO, "two", "main", "two", {})


class Jealous(LakeSimulator):
    """Refuses a second merge into a branch while one is going on, as lakeFS does when its own tries are used up."""

    def __init__(self) -> None:
        super().__init__()
        self.merging: set[str] = set()
        self.together = threading.Barrier(2, timeout=20)
        self.meet = False

    def merge(self, repository, source, destination, message, metadata):
        if destination in self.merging:
            raise UnavailableError("too many tries")
        self.merging.add(destination)
        try:
            if self.meet:
                self.together.wait()
            time.sleep(0.01)
            return super().merge(repository, source, destination, message, metadata)
        finally:
            self.merging.discard(destination)


def run(lake, effects, number, locks, into="main"):
    origin = Origin("flight_delay", "ingest", "flight_delay.ingest", f"run-{number}", "publish")
    with effects.intents(origin) as intents:
        watched = recorded_lake(lake, intents, locks)
        return watched.merge(REPO, f"run-{number}", into, f"{number}", {})


def branch(lake, number):
    lake.create_branch(REPO, f"run-{number}", "main")
    lake.put(LakeUri(REPO, f"run-{number}", f"features/{number}"), b"a")
    lake.commit(REPO, f"run-{number}", f"{number}", {})


def test_merges_into_one_branch_take_turns(effects, tmp_path):
    lake = Jealous()
    lake.ensure_repository(REPO)
    for number in range(12):
        branch(lake, number)
    with ThreadPoolExecutor(12) as threads:
        merges = set(threads.map(lambda number: run(lake, effects, number, tmp_path), range(12)))
    assert len(merges) == 12 and len(lake.list(LakeUri(REPO, "main", "features"))) == 12


def test_merges_into_different_branches_do_not_wait_for_each_other(effects, tmp_path):
    lake = Jealous()
    lake.ensure_repository(REPO)
    lake.create_branch(REPO, "other", "main")
    for number in range(2):
        branch(lake, number)
    lake.meet = True
    with ThreadPoolExecutor(2) as threads:
        merged = list(
            threads.map(lambda given: run(lake, effects, given[0], tmp_path, given[1]), [(0, "main"), (1, "other")])
        )
    assert len(set(merged)) == 2


READING = {
    "branches", "changed", "changed_since", "commit_info", "exists", "get", "get_range", "last_write", "list", "log",
    "resolve", "tags", "uncommitted",
}  # fmt: skip
SHARED = {"ensure_repository", "from_environment"}


def test_no_change_of_a_lake_goes_unrecorded():
    """A new method of the lake must be added here or to what is recorded."""
    methods = {name for name in vars(Lake) if not name.startswith("_")}
    assert methods - READING - SHARED <= set(vars(_RecordedLake))
