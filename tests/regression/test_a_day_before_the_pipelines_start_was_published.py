"""The form took 2012-02-29 for a pipeline that starts in 2013: the replayed feed served it, and it was published."""

import datetime as dt
import functools
from types import SimpleNamespace

import pytest
from airflow.sdk.execution_time.context import set_current_context

from slipway.connections import LakeConnection
from slipway.pipeline.load import find_pipeline
from slipway.settings import settings
from slipway_airflow import connections, decisions
from tests.dags.conftest import airflow_home, dags, no_io  # noqa: F401 - fixtures


@pytest.mark.parametrize("name", ["flight_delay", "digit_reader"])
def test_a_day_before_the_start_ends_the_run_before_anything_is_asked_or_written(dags, name):  # noqa: F811
    start = find_pipeline(settings().pipelines, name).start
    asked = {"partition": str(start - dt.timedelta(days=1))}
    run = SimpleNamespace(run_id="manual", partition_key=None, run_after=dt.datetime.now(dt.UTC))
    features = dags[f"{name}.ingest"].get_task("features").python_callable
    with (
        set_current_context({"dag_run": run, "params": asked}),
        pytest.raises(Exception, match=rf"expected a day from {start} \(the pipeline's start\) on"),
    ):
        features(name)


def test_what_was_published_for_such_a_day_is_no_hit_in_the_triggerer(monkeypatch):
    nowhere = LakeConnection("http://127.0.0.1:1", "key", "secret")  # nothing is asked before the day is looked at
    monkeypatch.setattr(connections, "lake_server", lambda: nowhere)
    monkeypatch.setattr(connections, "ledger", functools.cache(lambda: None))
    run = SimpleNamespace(dag_id="flight_delay.ingest", run_id="manual", partition_key="2012-02-29")
    ((hit, shown),) = decisions.ingest([{"dag_run": run, "params": {}}])
    assert not hit and "the pipeline's start" in shown["reasons"][0]
