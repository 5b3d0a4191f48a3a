"""What only Airflow knows of a release: how long each step is tried."""

import datetime as dt

import pytest

from slipway.pipeline.project import load_pipelines
from slipway.settings import settings


@pytest.mark.parametrize("name", load_pipelines(settings().pipelines))
def test_after_the_last_phase_an_outage_of_ten_minutes_is_outlasted(dags, name):
    complete = dags[f"{name}.release"].get_task("complete")
    assert complete.retries * complete.retry_delay >= dt.timedelta(minutes=10)
