"""What a task changes is recorded under its own name, from its first change to its end."""

from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowFailException

from slipway.connections import LakeConnection, LedgerConnection
from slipway.errors import ContractError, UnavailableError
from slipway.ledger.effects import Effects, Origin
from slipway_airflow import connections
from slipway_airflow import effects as task_effects
from slipway_airflow.failures import fail_fast
from tests.simulators.channel import Killed
from tests.simulators.lake import LakeSimulator


@pytest.fixture
def lake(monkeypatch) -> LakeSimulator:
    made = LakeSimulator()
    made.ensure_repository("flights")
    monkeypatch.setattr(connections, "_lake", lambda: made)
    return made


@pytest.fixture
def effects(tmp_path, monkeypatch) -> Effects:
    made = Effects(LedgerConnection(f"sqlite:///{tmp_path}/ledger.db"))
    monkeypatch.setattr(connections, "effects", lambda: made)
    return made


@pytest.fixture(autouse=True)
def task(monkeypatch) -> SimpleNamespace:
    ti = SimpleNamespace(
        dag_id="flight_delay.ingest", run_id="manual__1", task_id="publish", map_index=-1, try_number=1
    )
    monkeypatch.setattr(task_effects, "get_current_context", lambda: {"ti": ti})
    return ti


def branch_then(error: BaseException | None = None):
    connections.lake().create_branch("flights", "run-1", "main")
    connections.lake().tag("flights", "a", "main")
    if error:
        raise error


def test_they_carry_the_tasks_name_and_end_with_it(lake, effects):
    fail_fast(branch_then)()
    assert {record.effect.kind for record in effects.records()} == {"create_branch", "tag"}
    assert {record.state for record in effects.records()} == {"done"}
    origin = Origin("flight_delay", "ingest", "flight_delay.ingest", "manual__1", "publish")
    assert {record.origin for record in effects.records()} == {origin}
    assert lake.branches("flights", "run-") == ["run-1"]


def test_each_try_is_a_step_of_its_own(lake, effects):
    for _ in range(2):
        fail_fast(branch_then)()
    assert {(record.state, record.attempts) for record in effects.records()} == {("done", 1)}


def test_a_mapped_task_is_named_with_its_index(lake, effects, task):
    task.map_index = 2
    fail_fast(branch_then)()
    assert {record.origin.task_id for record in effects.records()} == {"publish[2]"}


@pytest.mark.parametrize(
    ("error", "told"), [(UnavailableError("away"), UnavailableError), (ContractError("bad"), AirflowFailException)]
)
def test_a_task_that_fails_is_told_as_before_and_what_it_had_done_is_done(lake, effects, error, told):
    with pytest.raises(told, match=str(error)):
        fail_fast(branch_then)(error)
    assert {record.state for record in effects.records()} == {"done"}


def test_without_the_ledger_a_task_may_be_tried_again_and_has_changed_nothing(lake, monkeypatch):
    away = Effects(LedgerConnection("postgresql+psycopg2://u:p@127.0.0.1:1/ledger"))
    monkeypatch.setattr(connections, "effects", lambda: away)
    with pytest.raises(UnavailableError, match="slipway_ledger"):
        fail_fast(branch_then)()
    assert lake.branches("flights") == ["main"]


def test_a_first_try_that_only_reads_needs_no_ledger(lake, monkeypatch, task):
    away = Effects(LedgerConnection("postgresql+psycopg2://u:p@127.0.0.1:1/ledger"))
    monkeypatch.setattr(connections, "effects", lambda: away)
    assert fail_fast(lambda: connections.lake().branches("flights"))() == ["main"]
    task.try_number = 2
    with pytest.raises(UnavailableError):
        fail_fast(lambda: connections.lake().branches("flights"))()


def test_a_later_try_that_finds_all_done_closes_what_the_first_left(lake, effects, task):
    with pytest.raises(Killed):
        fail_fast(branch_then)(Killed())
    assert {record.state for record in effects.records()} == {"open"}
    task.try_number = 2
    fail_fast(lambda: connections.lake().branches("flights"))()
    assert {record.state for record in effects.records()} == {"done"}


def test_a_task_that_asks_for_no_place_needs_no_ledger(monkeypatch):
    monkeypatch.setattr(connections, "effects", lambda: pytest.fail("it was asked for the ledger"))
    assert fail_fast(lambda: 1)() == 1


def test_the_lake_itself_is_made_once(monkeypatch):
    monkeypatch.setattr(connections, "lake_server", lambda: LakeConnection("http://127.0.0.1:1", "a", "b"))
    connections._lake.cache_clear()
    assert connections._lake() is connections._lake()
    connections._lake.cache_clear()
