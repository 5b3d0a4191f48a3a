"""What the triggerer answers for runs of ingest lines: hit, miss, or not decided, each run by itself."""

import datetime as dt
import functools
from types import SimpleNamespace

import pytest

from slipway.identity.digest import sha256_bytes
from slipway.lake.uri import LakeUri
from slipway.ledger.statement import Statement
from slipway.pipeline.load import find_pipeline
from slipway.settings import settings
from slipway.stages.arrival import arrival
from slipway_airflow import connections, decisions
from tests.simulators.lake import LakeSimulator
from tests.simulators.ledger import execution, ledger_at

DAY = dt.date(2013, 1, 5)
FLIGHTS = find_pipeline(settings().pipelines, "flight_delay")


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    made = ledger_at(tmp_path)
    monkeypatch.setattr(connections, "ledger", functools.cache(lambda: made))
    return made


@pytest.fixture
def lake(monkeypatch):
    simulator = LakeSimulator()
    monkeypatch.setattr(connections, "lake_server", lambda: None)
    monkeypatch.setattr(decisions, "Lake", lambda _: simulator)
    return simulator


def asked(pipeline="flight_delay", day=DAY, **params):
    run = SimpleNamespace(dag_id=f"{pipeline}.ingest", run_id=f"of {day}", partition_key=str(day))
    return {"dag_run": run, "params": params}


def published(lake, ledger):
    """The day's features on main, made of what the feed holds."""
    repository, name = FLIGHTS.repository, f"features/date={DAY}/part-00000.parquet"
    lake.ensure_repository(repository)
    came = arrival(lake, ledger, FLIGHTS, DAY, root=settings().root)
    lake.create_branch(repository, "run", "main")
    for path, data in {**came.objects, name: b"features"}.items():
        lake.put(LakeUri(repository, "run", path), data)
    lake.commit(repository, "run", "a day", {})
    commit = lake.merge(repository, "run", "main", "a day", {})
    lake.delete_branch(repository, "run")
    outputs, commits = {name: sha256_bytes(b"features")}, {"main": f"{repository}@{commit}"}
    ledger.record(Statement(came.ingredients, str(DAY), outputs, came.inputs, execution(), commits=commits))


def test_a_published_day_is_a_hit_and_says_whose_and_how_long_it_took_to_know(lake, ledger):
    published(lake, ledger)
    ((hit, shown),) = decisions.ingest([asked()])
    assert hit and shown["outcome"] == "hit" and "same fingerprint as shop.ingest run-1" in shown["reasons"][0]
    assert 0 < shown["milliseconds"] < 10_000


def test_force_is_no_hit(lake, ledger):
    published(lake, ledger)
    ((hit, shown),) = decisions.ingest([asked(force=True)])
    assert not hit and shown["outcome"] == "force"


def test_of_a_day_nobody_made_nothing_is_fetched(lake, ledger, monkeypatch):
    monkeypatch.setattr(decisions, "arrival", lambda *_, **__: pytest.fail("fetched"))
    ((hit, shown),) = decisions.ingest([asked()])
    assert (hit, shown["reasons"]) == (False, [f"nothing was made of {DAY} before"])


def test_runs_of_several_pipelines_and_a_wrong_partition_each_have_their_own_answer(lake, ledger):
    published(lake, ledger)
    wrong = asked(day=dt.date(2012, 12, 31))
    answers = decisions.ingest([asked("digit_reader"), wrong, asked(), asked(day=dt.date(2013, 1, 6))])
    assert [hit for hit, _ in answers] == [False, False, True, False]
    assert answers[1][1]["reasons"][0].startswith("not decided: ConfigurationError: partition: expected a day from")
    told = [answers[number][1]["reasons"] for number in (0, 3)]
    assert told == [[f"nothing was made of {DAY} before"], ["nothing was made of 2013-01-06 before"]]
