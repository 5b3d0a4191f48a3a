"""SIGKILL after every effect of a day, a training and its release, in Airflow's own workers: its retries end with one
of everything."""

import re
import shutil
from collections import Counter

import psutil
import pytest

from slipway.lake.client import Lake
from slipway.ledger.effects import Effects
from slipway.ledger.store import Ledger
from slipway.registry.client import connect
from slipway.stages.intended import FINGERPRINT
from tests.e2e.conftest import running_copy, soon_trained
from tests.e2e.test_operations import ended, ingest, start, wait_until
from tests.project_copy import ROOT, Project

PIPELINE, REPOSITORY = "digit_reader", "digit-reader"
DAYS = [f"2013-02-0{day}" for day in range(1, 6)]
KILLED = {"partition": "2013-03-10", "force": True}
AT_WORK = "during:start_pod", "during:run_job"
INGESTED = {"create_branch": 1, "commit": 1, AT_WORK[1]: 1, "run_job": 1, "record": 1, "merge": 1, "delete_branch": 1}
TRAINED = {"create_branch": 1, AT_WORK[0]: 5, "start_pod": 5, "commit": 6, "register": 1, "tag": 1}
"""Train, export and three targets are pods; the registration writes as well."""


def be_ready_for_kills(project: Project) -> None:
    """As many tries, at once, as there are effects, and a worker is soon taken for dead."""
    soon_trained(project)
    shutil.copy(ROOT / "tests/e2e/kill_after_effects.py", project.root / "plugins")
    for file in (project.root / "dags").glob("*.py"):
        text = re.sub(r'(\bretries=|"retries": )[1-9]\d*', r"\g<1>30", file.read_text())
        file.write_text(re.sub(r"(retry_delay\W+dt\.timedelta)\(seconds=\d+\)", r"\1(seconds=1)", text))
    sections = project.root / "include/slipway/embedded/airflow_home.py"
    before, after = sections.read_text().split('"scheduler": {')
    sections.write_text(f'{before}"scheduler": {{"task_instance_heartbeat_timeout": "40",{after}')


@pytest.fixture(scope="module")
def project():
    """A stack of its own: whoever may fail thirty times is no user's."""
    with running_copy(be_ready_for_kills) as made:
        yield made


@pytest.fixture
def kills(project):
    """Where every kill leaves a file; none is killed before and afterwards."""
    folder = project.root / "var/kills"
    folder.mkdir()
    yield lambda line: Counter(
        words[4] for file in folder.iterdir() if (words := file.read_text().split())[0] == f"{PIPELINE}.{line}"
    )
    folder.rename(folder.with_name("kills-done"))


@pytest.fixture
def days(project):
    """Enough days to train on, and every line is on."""
    ingest(project, DAYS)


def records(project, run_id):
    return [one for one in Effects(project.local().ledger).records() if one.origin.run_id == run_id]


@pytest.mark.timeout(1800)
def test_workers_killed_after_every_effect_leave_one_of_each(days, kills, project):
    airflow, lake, ledger = project.airflow(), Lake(project.local().lake), Ledger(project.local().ledger)
    mlflow, stood = connect(project.local().mlflow), set(lake.branches(REPOSITORY))

    ingested = start(project, f"{PIPELINE}.ingest", KILLED)
    assert ended(project, f"{PIPELINE}.ingest", ingested, 420).state == "success"
    assert kills("ingest").items() >= INGESTED.items() and kills("ingest")["put"] >= 3, kills("ingest")
    (features,) = ledger.statements(PIPELINE, "features", KILLED["partition"])
    commits = [
        one for one in lake.log(REPOSITORY, "main", 1000) if one.metadata.get(FINGERPRINT) == features.fingerprint
    ]
    assert [len(one.parents) for one in commits] == [2, 1, 1]  # the merge, the features, the raw tables

    before = {one.version for one in mlflow.search_model_versions(f"name = '{PIPELINE}'")}
    train = start(project, f"{PIPELINE}.train", {"partitions": 5, "force": True})
    assert ended(project, f"{PIPELINE}.train", train, 420).state == "success"
    stages = ("train", "export", "compile", "register")
    signed = [
        one.subject for stage in stages for one in ledger.statements(PIPELINE, stage) if one.execution.run_id == train
    ]
    assert len(signed) == len(set(signed)) + 1  # training and export are about the same days
    assert kills("train").items() >= {**TRAINED, "record": len(signed)}.items(), kills("train")
    (version,) = {one.version for one in mlflow.search_model_versions(f"name = '{PIPELINE}'")} - before

    release = f"release__{version}"
    assert ended(project, f"{PIPELINE}.release", release, 420).state == "success"
    assert kills("release") == {"publish": 5, "set_alias": 1, "record": 1}
    assert [run.run_id for run in airflow.runs(f"{PIPELINE}.release")].count(release) == 1
    assert len(ledger.statements(PIPELINE, "release", version)) == 1
    wait_until("every device runs it", 60, lambda: project.versions_on_devices(PIPELINE) == {version})

    left = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    assert not [command for command in left if any(f"--run={run_id}" in command for run_id in (ingested, train))]
    for run_id in (ingested, train, release):
        assert {one.state for one in records(project, run_id)} == {"done"}
    # Housekeeping deletes a training's branch later; the tag keeps what it made.
    assert [name.partition("-")[0] for name in set(lake.branches(REPOSITORY)) - stood] == ["train"]
