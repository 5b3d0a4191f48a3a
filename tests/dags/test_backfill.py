"""The partitions a backfill makes from the dates a person gives."""

import datetime as dt

import pytest

from slipway.pipeline.load import load_pipelines
from slipway.settings import settings


@pytest.mark.parametrize("name", load_pipelines(settings().pipelines))
def test_a_backfill_includes_both_dates_it_is_given(dags, name):
    from airflow.timetables.trigger import CronPartitionTimetable

    given = dags[f"{name}.ingest"].timetable
    timetable = CronPartitionTimetable(given.expression, timezone="UTC", run_offset=-1, key_format="%Y-%m-%d")
    dates = {"earliest": dt.datetime(2013, 2, 1, tzinfo=dt.UTC), "latest": dt.datetime(2013, 2, 14, tzinfo=dt.UTC)}
    keys = [info.partition_key for info in timetable.iter_partition_dagrun_infos(**dates)]
    assert keys == [f"2013-02-{day:02d}" for day in range(1, 15)]
