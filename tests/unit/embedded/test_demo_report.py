import datetime as dt
import json

import pytest

from slipway.embedded.airflow_api import TaskRun
from slipway.embedded.demo_report import build_report, newest, seconds_of, write_report
from slipway.errors import SlipwayError
from tests.simulators.ledger import statement

REGISTERED = statement(
    "register",
    "2",
    made_of={"parameters": {"version_of": "f" * 64}},
    commits={"data": f"flight-delay@{'c' * 64}"},
    details={
        "metric": "auc",
        "metrics": {"auc": 0.9},
        "baseline": {"auc": 0.6},
        "partitions": ["2013-01-01"],
        "holdout": ["2013-01-02"],
        "targets": [{"name": "x86-cpu", "status": "built"}],
    },
)
RELEASED = statement(
    "release",
    "2",
    made_of={"parameters": {"release": "flight_delay-v2-1"}},
    details={"outcome": "completed", "phases": [{"percent": 5, "verdict": "pass", "gates": []}]},
)


def report(devices):
    return build_report(
        days=["2013-01-01", "2013-01-02"],
        ingested=[statement("features", day) for day in ("2013-01-01", "2013-01-01", "2013-01-02", "2013-05-05")],
        registered=REGISTERED,
        released=RELEASED,
        devices=devices,
        seconds={"total": 1.0},
    )


def test_partitions_counts_the_days_asked_for_once_each():
    assert report([])["partitions"] == 2


def test_only_devices_that_say_they_run_the_version_are_counted():
    devices = [{"version": "2"}, {"version": "1"}, {"version": None}]
    assert report(devices)["release"]["devices"] == 3
    assert report(devices)["release"]["devices_on_new_version"] == 1


def test_phases_carry_their_verdicts():
    assert report([])["release"]["phases"] == [{"percent": 5, "verdict": "pass"}]


def test_every_pipeline_keeps_its_report_and_the_last_ones_is_there_under_a_fixed_name(tmp_path):
    reports = [{**report([]), "pipeline": name} for name in ("flight_delay", "digit_reader")]
    for one in reports:
        assert json.loads(write_report(tmp_path / "demo", one).read_text()) == one
    kept = {path.name: json.loads(path.read_text()) for path in (tmp_path / "demo").iterdir()}
    assert kept == {"flight_delay.json": reports[0], "digit_reader.json": reports[1], "report.json": reports[1]}


def test_the_newest_version_is_by_number_not_by_text():
    assert newest([statement("register", "9"), statement("register", "10")], "version").subject == "10"


def test_nothing_registered_is_said_so():
    with pytest.raises(SlipwayError, match="holds none"):
        newest([], "registered version")


def test_a_stage_lasts_from_its_first_start_to_its_last_end():
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    second = dt.timedelta(seconds=1)
    runs = [
        TaskRun("compile", "x86-cpu", "success", start, start + 4 * second),
        TaskRun("compile", "x86-cpu-int8", "success", start + second, start + 7 * second),
        TaskRun("train", "train", "success", start - 5 * second, start),
        TaskRun("register", "register", None, None, None),
    ]
    seconds = seconds_of({"train": runs}, stack=1.0, total=20.0)
    assert (seconds["compile"], seconds["train"], seconds["register"], seconds["ingest"]) == (7.0, 5.0, 0.0, 0.0)
