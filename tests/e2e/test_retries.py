"""SIGKILL after every effect of a day, a training and its release, in Airflow's own workers: its retries end with one
of everything."""

import datetime as dt
from collections import Counter

import pytest

from slipway.lake.client import Lake
from slipway.ledger.effects import Effects
from slipway.ledger.store import Ledger
from slipway.registry.client import connect
from tests.e2e.test_operations import ended, start, wait_until

PIPELINE, REPOSITORY = "digit_reader", "digit-reader"
DAYS = [dt.date(2013, 2, 1) + dt.timedelta(days=number) for number in range(5)]
KILLED = {"partition": "2013-03-10", "force": True}


@pytest.fixture
def kills(project):
    """Where every kill leaves a file; none is killed before and afterwards."""
    folder = project.root / "var/kills"
    folder.mkdir()
    yield lambda line: Counter(
        words[3] for file in folder.iterdir() if (words := file.read_text().split())[0] == f"{PIPELINE}.{line}"
    )
    folder.rename(folder.with_name("kills-done"))


@pytest.fixture
def days(project):
    """Enough days to train on, and every line is on."""
    airflow = project.airflow()
    for line in ("ingest", "train", "release"):
        airflow.unpause(f"{PIPELINE}.{line}")
    for run_id in [start(project, f"{PIPELINE}.ingest", {"partition": str(day)}) for day in DAYS]:
        assert ended(project, f"{PIPELINE}.ingest", run_id).state == "success"


def records(project, run_id):
    return [one for one in Effects(project.local().ledger).records() if one.origin.run_id == run_id]


@pytest.mark.timeout(900)
def test_workers_killed_after_every_effect_leave_one_of_each(days, kills, project):
    airflow, lake, ledger = project.airflow(), Lake(project.local().lake), Ledger(project.local().ledger)
    mlflow = connect(project.local().mlflow)

    ingest = start(project, f"{PIPELINE}.ingest", KILLED)
    assert ended(project, f"{PIPELINE}.ingest", ingest, 420).state == "success"
    print(kills("ingest"))
    assert {"create_branch", "upload", "commit", "run_job", "record", "merge", "delete_branch"} == set(kills("ingest"))
    (features,) = ledger.statements(PIPELINE, "features", KILLED["partition"])
    merges = [
        one
        for one in lake.log(REPOSITORY, "main", 1000)
        if one.metadata.get("slipway.fingerprint") == features.fingerprint
    ]
    assert len(merges) == 1

    before = {one.version for one in mlflow.search_model_versions(f"name = '{PIPELINE}'")}
    train = start(project, f"{PIPELINE}.train", {"partitions": 5, "force": True})
    assert ended(project, f"{PIPELINE}.train", train, 420).state == "success"
    print(kills("train"))
    (version,) = {one.version for one in mlflow.search_model_versions(f"name = '{PIPELINE}'")} - before

    release = f"release__{version}"
    assert ended(project, f"{PIPELINE}.release", release, 420).state == "success"
    print(kills("release"))
    assert [run.run_id for run in airflow.runs(f"{PIPELINE}.release")].count(release) == 1
    assert len(ledger.statements(PIPELINE, "release", version)) == 1
    wait_until("every device runs it", 60, lambda: project.versions_on_devices(PIPELINE) == {version})

    for run_id in (ingest, train, release):
        assert {one.state for one in records(project, run_id)} == {"done"}
    assert not [name for name in lake.branches(REPOSITORY) if name != "main"]
