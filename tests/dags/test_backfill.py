"""The partitions a backfill makes from the dates a person gives."""

import datetime as dt

import pytest

from slipway.pipeline.project import load_pipelines
from slipway.settings import settings


@pytest.mark.parametrize("name", load_pipelines(settings().pipelines))
def test_a_backfill_includes_both_dates_it_is_given(dags, name):
    from airflow.timetables.trigger import CronPartitionTimetable

    given = dags[f"{name}.ingest"].timetable
    timetable = CronPartitionTimetable(given.expression, timezone="UTC", run_offset=-1, key_format="%Y-%m-%d")
    dates = {"earliest": dt.datetime(2013, 2, 1, tzinfo=dt.UTC), "latest": dt.datetime(2013, 2, 14, tzinfo=dt.UTC)}
    keys = [info.partition_key for info in timetable.iter_partition_dagrun_infos(**dates)]
    assert keys == [f"2013-02-{day:02d}" for day in range(1, 15)]


@pytest.mark.parametrize("catchup", [True, False])
@pytest.mark.parametrize("name", load_pipelines(settings().pipelines))
def test_no_scheduled_run_is_for_a_day_before_the_start(dags, name, catchup):
    from airflow.timetables.base import TimeRestriction
    from airflow.timetables.trigger import CronPartitionTimetable

    line, start = dags[f"{name}.ingest"], load_pipelines(settings().pipelines)[name].start
    timetable = CronPartitionTimetable(line.timetable.expression, timezone="UTC", run_offset=-1, key_format="%Y-%m-%d")
    restriction = TimeRestriction(earliest=line.start_date, latest=None, catchup=catchup)
    found = timetable.next_dagrun_info_v2(last_dagrun_info=None, restriction=restriction)
    yesterday = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)
    assert found.partition_key == str(start if catchup else yesterday)
