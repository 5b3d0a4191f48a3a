import datetime as dt
from dataclasses import dataclass, field
from typing import Any

import pytest

from slipway.errors import ConfigurationError
from slipway_airflow.partition import partition_of

DAY = dt.timedelta(days=1)
AFTER_MIDNIGHT = dt.datetime(2013, 2, 2, 0, 30, tzinfo=dt.UTC)


@dataclass
class DagRun:
    run_after: dt.datetime = AFTER_MIDNIGHT
    partition_key: str | None = None


@dataclass
class Form:
    """A task's context, as far as a partition depends on it."""

    params: dict[str, Any] = field(default_factory=dict)
    dag_run: DagRun = field(default_factory=DagRun)

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)


def test_the_form_says_which_partition():
    form = Form({"partition": "2013-01-05"}, DagRun(partition_key="2013-01-09"))
    assert partition_of(form) == dt.date(2013, 1, 5)


@pytest.mark.parametrize("key", ["2013-01-09", "2013-01-09T00:00:00", "2013-01-09T00:00:00+00:00"])
def test_an_empty_form_leaves_it_to_the_runs_partition_key(key):
    assert partition_of(Form({"partition": None}, DagRun(partition_key=key))) == dt.date(2013, 1, 9)


def test_a_run_without_either_is_about_the_last_complete_day():
    assert partition_of(Form()) == dt.date(2013, 2, 1)


@pytest.mark.parametrize("days", [0, 1, 1500])
def test_a_day_that_has_not_ended_is_refused(days):
    day = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=days)
    with pytest.raises(ConfigurationError, match=rf"a day that has ended .*got {day}"):
        partition_of(Form({"partition": str(day)}))


@pytest.mark.parametrize(
    "run", [Form(), Form({"partition": "2013-01-05"}), Form({}, DagRun(partition_key="2013-01-05"))]
)
def test_the_pipelines_first_day_is_taken_and_the_day_before_it_refused(run):
    day = partition_of(run)
    assert partition_of(run, first=day) == day
    with pytest.raises(ConfigurationError, match=rf"a day from {day + DAY} \(the pipeline's start\) on, got {day}"):
        partition_of(run, first=day + DAY)


@pytest.mark.parametrize("text", ["yesterday", "2013-02-30", "2013"])
def test_what_is_not_a_date_is_refused_with_an_example(text):
    with pytest.raises(ConfigurationError, match=r"such as 2013-02-01"):
        partition_of(Form({"partition": text}))
