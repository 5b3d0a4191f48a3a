"""The demo goes on from whatever is there: nothing, half a run, failed runs, everything."""

import datetime as dt
import io

import pytest
from rich.console import Console

from slipway.embedded import demo as module
from slipway.embedded.airflow_api import ImportProblem
from slipway.embedded.demo import Demo, DemoError, Journey
from slipway.errors import ConfigurationError
from slipway.pipeline.load import find_pipeline
from slipway.settings import settings
from tests.simulators.airflow import AirflowSimulator

FLIGHTS = find_pipeline(settings().pipelines, "flight_delay")
JOURNEY = Journey("p", dt.date(2013, 1, 1), dt.date(2013, 1, 3))
TRAIN, RELEASE = "p.train", "p.release"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(module, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.0)


@pytest.mark.parametrize(
    ("first", "days", "span"),
    [
        (None, None, ("2013-01-01", "2013-01-14")),
        (dt.date(2026, 3, 10), None, ("2026-03-10", "2026-03-23")),
        (dt.date(2013, 2, 1), 28, ("2013-02-01", "2013-02-28")),
    ],
)
def test_a_journey_takes_a_trainings_days_from_the_pipelines_start_unless_told_otherwise(first, days, span):
    journey = Journey.of(FLIGHTS, first, days)
    assert (journey.days[0], journey.days[-1]) == span


@pytest.mark.parametrize(
    ("first", "days", "says"),
    [
        (dt.date(2012, 12, 31), None, r"from 2013-01-01 \(the pipeline's start\) on, got 2012-12-31"),
        (dt.date(2013, 1, 25), None, "days of one month.*2013-01-25 to 2013-02-07"),
        (dt.date(2013, 1, 1), 366, "days of one month.*2013-01-01 to 2014-01-01"),
    ],
)
def test_days_that_cannot_be_trained_on_are_refused_before_anything_is_started(first, days, says):
    with pytest.raises(ConfigurationError, match=says):
        Journey.of(FLIGHTS, first, days)


def run(airflow: AirflowSimulator, timeout: float = 5) -> str:
    shown = io.StringIO()
    Demo(airflow, JOURNEY, Console(file=shown), timeout).run()
    return shown.getvalue()


def ingested(airflow: AirflowSimulator, state: str = "success") -> None:
    for day in JOURNEY.days:
        airflow.add("p.ingest", state, partition=day)


def test_from_nothing_days_are_ingested_and_what_starts_by_itself_is_watched():
    airflow = AirflowSimulator()
    run(airflow)
    assert airflow.unpaused == {"p.ingest", TRAIN, RELEASE}
    assert airflow.triggered == []


def test_what_was_done_before_is_found_and_not_done_again():
    airflow = AirflowSimulator()
    run(airflow)
    before = {dag: len(runs) for dag, runs in airflow.dag_runs.items()}
    run(airflow)
    assert {dag: len(runs) for dag, runs in airflow.dag_runs.items()} == before
    assert airflow.triggered == []


def test_days_ingested_while_training_was_paused_are_trained_on_all_the_same():
    airflow = AirflowSimulator(starts=False)
    ingested(airflow)
    run(airflow)
    assert airflow.triggered == [(TRAIN, {"until": "2013-01-03"})]
    run(airflow)
    assert len(airflow.triggered) == 1


def test_failed_days_are_taken_up_again():
    airflow = AirflowSimulator()
    ingested(airflow, "failed")
    run(airflow)
    assert airflow.dag_runs[TRAIN]


def test_a_day_that_fails_now_ends_the_demo_and_names_the_task():
    airflow = AirflowSimulator()
    airflow.backfill = lambda *args, **kwargs: ingested(airflow, "failed")
    with pytest.raises(DemoError, match=r"p\.ingest run .* failed in register; open it in Airflow"):
        run(airflow)


def test_a_training_that_failed_before_is_cleared_once():
    airflow = AirflowSimulator()
    ingested(airflow)
    airflow.add(TRAIN, "failed", partition="2013-01")
    release = airflow.add(RELEASE, "success")
    run(airflow)
    assert [one.state for one in airflow.runs(TRAIN)] == ["success"]
    assert airflow.runs(RELEASE) == [release]


def test_a_release_that_was_rolled_back_is_started_anew():
    airflow = AirflowSimulator()
    ingested(airflow)
    airflow.add(TRAIN, "success", partition="2013-01")
    airflow.add(RELEASE, "failed", conf={"version": "3"})
    run(airflow)
    assert airflow.triggered == [(RELEASE, {"version": "3"})]


def test_a_model_that_is_no_better_leaves_the_release_before():
    airflow = AirflowSimulator()
    ingested(airflow)
    airflow.add(RELEASE, "success")
    airflow.add(TRAIN, "success", partition="2013-01")
    airflow.task_states[TRAIN, "register"] = "skipped"
    assert "does not beat" in run(airflow)


def test_a_first_model_that_is_not_good_enough_is_an_error():
    airflow = AirflowSimulator()
    ingested(airflow)
    airflow.add(TRAIN, "success", partition="2013-01")
    airflow.task_states[TRAIN, "register"] = "skipped"
    with pytest.raises(DemoError, match="no model was good enough"):
        run(airflow)


def test_dag_files_airflow_cannot_read_are_shown():
    airflow = AirflowSimulator()
    airflow.dags = set()
    airflow.problems = [ImportProblem("ingest.py", "Traceback\nKeyError: 'a'")]
    with pytest.raises(DemoError, match=r"ingest\.py: Traceback\nKeyError"):
        run(airflow)


def test_time_ends():
    airflow = AirflowSimulator(starts=False)
    airflow.trigger = lambda *_: None
    with pytest.raises(DemoError, match=r"time is over: p\.train has not finished"):
        run(airflow, timeout=0.2)
