"""What every runtime's tests stand on: connections without a database, and a lake in memory."""

import json
import os
import shutil
import tempfile

import pytest
import tenacity
import yaml

# Airflow settles in a folder when it is first imported; this one is gone when the tests are.
_HOME = tempfile.TemporaryDirectory(prefix="airflow-")
_before = os.environ.get("AIRFLOW_HOME")
os.environ["AIRFLOW_HOME"] = _HOME.name

from airflow.providers.cncf.kubernetes import kubernetes_helper_functions

from slipway.ledger.effects import Effects
from slipway.settings import settings
from slipway_airflow import connections
from tests.integration.pod_task.running import run_task
from tests.integration.pod_task.training_pod import OUTPUT, SECRETS, finish, pod_task
from tests.simulators.kubernetes import Ending, running_cluster
from tests.simulators.lake import LakeSimulator
from tests.simulators.ledger import ledger_at

del os.environ["AIRFLOW_HOME"]
if _before is not None:
    os.environ["AIRFLOW_HOME"] = _before


@pytest.fixture
def connect(monkeypatch):
    """Sets connections the way a deployment may: environment variables, no database."""

    def give(conn_id, **fields):
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps({"conn_type": "generic", **fields}))

    for conn_id, password in SECRETS.items():
        give(conn_id, host="http://127.0.0.1", port=1, login=f"{conn_id}-login", password=password)
    return give


@pytest.fixture
def ledger(monkeypatch, tmp_path):
    """An empty ledger where `connections` hands out the one of a connection; called, it forgets everything."""

    def forget(name="ledger"):
        (tmp_path / name).mkdir()
        made = ledger_at(tmp_path / name)
        effects = Effects(made.connection)
        monkeypatch.setattr(connections, "ledger", lambda: made)
        monkeypatch.setattr(connections, "effects", lambda: effects)

    forget()
    return forget


@pytest.fixture
def lake(monkeypatch, ledger):
    """A lake in memory, where `connections.lake` hands out a client otherwise."""
    simulator = LakeSimulator()
    simulator.ensure_repository(OUTPUT.repository)
    simulator.create_branch(OUTPUT.repository, OUTPUT.ref, "main")
    monkeypatch.setattr(connections, "lake", lambda: simulator)
    return simulator


@pytest.fixture
def manifest(tmp_path, monkeypatch):
    """Writes a pod that runs a Python script, and makes its folder the project's manifests."""

    def write(script, deadline=60):
        root = settings.__wrapped__().root
        shutil.copytree(root / "include" / "pods", tmp_path / "include" / "pods")
        shutil.copytree(root / "include" / "models", tmp_path / "include" / "models")
        shutil.copy(root / "requirements.lock", tmp_path)
        for name in ("slipway", "pipelines"):
            (tmp_path / "include" / name).symlink_to(root / "include" / name)
        raw = yaml.safe_load((settings().manifests / "train.yaml").read_text())
        raw["spec"]["activeDeadlineSeconds"] = deadline
        raw["spec"]["containers"][0]["command"] = ["python", "-c", script]
        (tmp_path / "include" / "pods" / "script.yaml").write_text(yaml.safe_dump(raw))
        monkeypatch.setenv("SLIPWAY_ROOT", str(tmp_path))
        settings.cache_clear()
        return "script"

    yield write
    monkeypatch.undo()
    settings.cache_clear()


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Calls to a cluster's API are repeated as often as always, without the pauses between them."""
    monkeypatch.setattr(kubernetes_helper_functions, "_default_wait", tenacity.wait_none())


@pytest.fixture
def on_cluster(connect, lake):
    """Runs a task with a simulated cluster behind the connections."""

    def run(ending=None, before=lambda cluster: None, default_args=None, params=None, **kwargs):
        with running_cluster(ending or built(lake)) as cluster:
            connect("slipway_compute", extra={"runtime": "kubernetes", "namespace": "ml"})
            connect("kubernetes_default", conn_type="kubernetes", extra={"kube_config": cluster.kube_config()})
            before(cluster)
            task = pod_task(default_args=default_args, params=params, startup_check_interval_seconds=0.05)
            return run_task(task, **kwargs), cluster

    return run


def built(lake):
    return Ending(work=lambda pod: finish(lake), log=("epoch 1", "epoch 2"))
