"""The cron expression of one pipeline was first read by Airflow, in the file that makes the DAGs of all of them."""

import pendulum
import pytest
from airflow.exceptions import AirflowTimetableInvalid
from airflow.sdk import DAG, CronPartitionTimetable
from airflow.timetables.base import TimeRestriction
from airflow.timetables.trigger import CronPartitionTimetable as Scheduled
from croniter import CroniterError

from slipway.errors import ConfigurationError
from slipway.pipeline.project import working_pipeline
from slipway.settings import settings
from tests.dags.conftest import airflow_home  # noqa: F401 - a fixture
from tests.unit.pipeline.changed import written

START = pendulum.datetime(2013, 1, 2)
SCHEDULES = [
    "0 0 * * *",
    "0 0 * * 8x",
    "0 0 31 2 *",
    "0 24 * * *",
    "15 6 * * sun",
    "@weekly",
    "@quarterly",
    "@fortnightly",
]


def airflow_takes(schedule: str) -> bool:
    """Whether Airflow makes a DAG of it and finds its next run."""
    try:
        DAG("any", schedule=CronPartitionTimetable(schedule, timezone="UTC"), start_date=START)
        restriction = TimeRestriction(earliest=START, latest=None, catchup=True)
        Scheduled(schedule, timezone="UTC").next_dagrun_info_v2(last_dagrun_info=None, restriction=restriction)
    except (AirflowTimetableInvalid, CroniterError, ValueError):
        return False
    return True


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_pipeline_is_refused_for_its_schedule_exactly_where_airflow_would(tmp_path, schedule):
    path = written(tmp_path, {"schedule": schedule})
    try:
        working_pipeline(path, settings().root)
    except ConfigurationError:
        assert not airflow_takes(schedule)
    else:
        assert airflow_takes(schedule)
