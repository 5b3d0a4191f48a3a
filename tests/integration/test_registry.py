"""Registering against a real MLflow server (SQLite behind it), killed and raced on purpose."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from slipway.compile.onnx_model import canonical_bytes
from slipway.connections import MlflowConnection
from slipway.errors import RegistryError, UnavailableError
from slipway.ledger.lock import advisory_lock
from slipway.registry import mlflow_registry as registry
from slipway.registry.aliases import CHAMPION
from slipway.registry.client import connect
from slipway.registry.registration import FINGERPRINT_TAG, INDEX, Registration
from slipway.settings import settings
from tests.integration.ledger import postgresql_ledger
from tests.integration.mlflow_server import free_port, running_mlflow
from tests.simulators.registry import RegistrySimulator

ROOT = Path(__file__).resolve().parents[2]


def model() -> bytes:
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["categorical"], ["numbers"], "cast", to=TensorProto.FLOAT),
            helper.make_node("Concat", ["numeric", "numbers"], ["features"], "concat", axis=1),
            helper.make_node("MatMul", ["features", "weight"], ["logits"], "dense"),
        ],
        "linear",
        [
            helper.make_tensor_value_info("numeric", TensorProto.FLOAT, ["batch", 3]),
            helper.make_tensor_value_info("categorical", TensorProto.INT64, ["batch", 2]),
        ],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(np.arange(10, dtype=np.float32).reshape(5, 2), "weight")],
    )
    return canonical_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10))


INPUTS = {"numeric": np.ones((2, 3), np.float32), "categorical": np.array([[1, 2], [3, 4]])}


def registration(name, character, **changes):
    values = {
        "name": name,
        "fingerprint": character * 64,
        "onnx": model(),
        "artifacts": {"targets/x86-cpu/model.onnx": b"compiled", "evaluation.json": b"{}"},
        "input_example": INPUTS,
        "tags": {"slipway.data_commit": "c0ffee"},
        "metrics": {"auc": 0.87},
    }
    return Registration(**{**values, **changes})


@pytest.fixture(autouse=True)
def locks_of_this_test(tmp_path, monkeypatch):
    """Lock files go below the test's folder and not into the checkout's."""
    monkeypatch.setenv("SLIPWAY_VAR", str(tmp_path))
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mlflow")
    with running_mlflow(folder) as connection:
        yield connection, folder / "files"


@pytest.fixture
def mlflow_server(server):
    return server[0]


def versions(connection, name):
    return connect(connection).search_model_versions(f"name = '{name}'")


@pytest.fixture(params=["simulator", "mlflow"])
def either(request, mlflow_server):
    """The simulator that other tests use, and MLflow: the same is asked of both."""
    return (RegistrySimulator() if request.param == "simulator" else registry), mlflow_server


def test_versions_are_found_by_the_value_of_a_tag_the_oldest_first(either):
    api, place = either
    for character, commit in (("1", "c0ffee"), ("2", "facade"), ("3", "c0ffee")):
        api.register(place, registration("by_tag", character, tags={"slipway.model_commit": commit}))
    api.register(place, registration("by_tag_other", "4", tags={"slipway.model_commit": "decade"}))
    assert api.versions_by_tag(place, "by_tag", "slipway.model_commit") == {"c0ffee": "1", "facade": "2"}
    assert api.versions_by_tag(place, "by_tag", "absent") == {}
    assert api.versions_by_tag(place, "never_registered", "slipway.model_commit") == {}


def test_a_registered_model_is_found_tagged_and_the_challenger(either):
    api, place = either
    version = api.register(place, registration("found", "a"))
    assert version == "1"
    assert api.find(place, "found", "a" * 64) == "1"
    assert api.find(place, "found", "b" * 64) is None
    tags = api.version_tags(place, "found", "1")
    assert tags["slipway.data_commit"] == "c0ffee"
    assert tags[FINGERPRINT_TAG] == "a" * 64
    assert api.challenger(place, "found") == "1"
    assert api.champion(place, "found") is None
    api.set_alias(place, "found", CHAMPION, "1")
    assert api.champion(place, "found") == api.aliased(place, "found", CHAMPION) == "1"


def test_registering_again_returns_the_same_version_and_a_new_fingerprint_the_next(either):
    api, place = either
    first = api.register(place, registration("again", "a"))
    assert api.register(place, registration("again", "a")) == first
    assert api.register(place, registration("again", "b")) == "2"
    assert api.register(place, registration("again", "a")) == first
    assert api.challenger(place, "again") == "2", "a late retry must not move the alias back"


def test_what_was_registered_is_downloaded_and_what_is_not_there_is_refused(either):
    api, place = either
    api.register(place, registration("files", "a"))
    assert api.download(place, "files", "1", ["evaluation.json"]) == {"evaluation.json": b"{}"}
    with pytest.raises(RegistryError, match="absent"):
        api.download(place, "files", "1", ["absent"])
    for ask in (api.download, api.version_tags):
        with pytest.raises(RegistryError):
            ask(place, "files", "2")


def test_a_retry_makes_no_second_version_in_mlflow(mlflow_server):
    for character in "aba":
        registry.register(mlflow_server, registration("retried", character))
    assert len(versions(mlflow_server, "retried")) == 2


def test_everything_registered_is_downloaded_and_verified(mlflow_server):
    version = registry.register(mlflow_server, registration("download", "a"))
    everything = registry.download(mlflow_server, "download", version)
    assert everything["model.onnx"] == model()
    assert everything["targets/x86-cpu/model.onnx"] == b"compiled"
    assert {"MLmodel", "requirements.txt"} <= set(everything)
    some = registry.download(mlflow_server, "download", version, ["evaluation.json"])
    assert some == {"evaluation.json": b"{}"}
    with pytest.raises(RegistryError, match=r"has no golden\.npz; it has: MLmodel"):
        registry.download(mlflow_server, "download", version, ["golden.npz"])
    with pytest.raises(RegistryError):
        registry.download(mlflow_server, "download", "99")


@pytest.mark.parametrize("path", ["targets/x86-cpu/model.onnx", INDEX])
def test_a_file_changed_in_the_artifact_store_is_refused(server, path):
    connection, files = server
    name = "tampered_index" if path == INDEX else "tampered_model"
    version = registry.register(connection, registration(name, "a"))
    run = connect(connection).get_model_version(name, version).run_id
    (stored,) = [found for found in files.rglob(path) if run in found.parts]
    stored.write_bytes(b"{}")
    with pytest.raises(RegistryError, match="registration; register the model again"):
        registry.download(connection, name, version)


def test_mlflow_itself_loads_the_version_as_onnx_and_as_pyfunc(mlflow_server):
    import mlflow

    registry.register(mlflow_server, registration("loads", "a"))
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(mlflow_server.tracking_uri)
    try:
        loaded = mlflow.onnx.load_model("models:/loads/1")
        predict = mlflow.pyfunc.load_model("models:/loads@challenger")
    finally:
        mlflow.set_tracking_uri(before)
    onnx.checker.check_model(loaded)
    assert [spec.name for spec in predict.metadata.signature.inputs.inputs] == ["numeric", "categorical"]
    assert predict.predict(INPUTS)["logits"].shape == (2, 2)


def test_the_run_of_the_training_is_adopted_by_its_tag_or_its_id(mlflow_server):
    client = connect(mlflow_server)
    experiment = client.create_experiment("adopted")
    tagged = client.create_run(experiment, tags={FINGERPRINT_TAG: "a" * 64}).info.run_id
    given = client.create_run(experiment).info.run_id
    one = registry.register(mlflow_server, registration("adopted", "a"))
    two = registry.register(mlflow_server, registration("adopted", "b", run_id=given))
    assert client.get_model_version("adopted", one).run_id == tagged
    assert client.get_model_version("adopted", two).run_id == given
    with pytest.raises(RegistryError, match="refused"):
        registry.register(mlflow_server, registration("adopted", "c", run_id="0" * 32))
    assert len(versions(mlflow_server, "adopted")) == 2


def test_an_artifact_named_like_the_flavours_own_file_is_refused(mlflow_server):
    with pytest.raises(RegistryError, match=r"\['MLmodel'\] have the names"):
        registry.register(mlflow_server, registration("clash", "a", artifacts={"MLmodel": b""}))
    assert versions(mlflow_server, "clash") == []


CHILD = """
import os, signal, sys
from mlflow import MlflowClient
from mlflow.telemetry import get_telemetry_client
from slipway.connections import MlflowConnection
from slipway.registry import mlflow_registry as registry
from tests.integration.test_registry import registration

uri, name, method, moment = sys.argv[1:]
if method != "-":
    original = getattr(MlflowClient, method)
    def dies(self, *args, **kwargs):
        if moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        original(self, *args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)
    setattr(MlflowClient, method, dies)
print(registry.register(MlflowConnection(uri), registration(name, "a")))
assert get_telemetry_client() is None, "MLflow would report what is registered to its makers"
"""


def child(connection, folder, name, method="-", moment="-"):
    environment = {
        "PYTHONPATH": f"{ROOT / 'include'}:{ROOT}",
        "SLIPWAY_VAR": str(folder),
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
    }
    command = [sys.executable, "-c", CHILD, connection.tracking_uri, name, method, moment]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    ("method", "moment"),
    [
        ("create_run", "after"),
        ("log_artifacts", "after"),
        ("create_model_version", "after"),
    ],
)
def test_a_registration_killed_between_two_steps_ends_in_one_version_after_the_retry(
    mlflow_server, tmp_path, method, moment
):
    name = f"killed_{method}"
    killed = child(mlflow_server, tmp_path, name, method, moment)
    killed.communicate(timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert registry.register(mlflow_server, registration(name, "a")) == "1"
    assert len(versions(mlflow_server, name)) == 1
    client = connect(mlflow_server)
    runs = client.search_runs([client.get_experiment_by_name(name).experiment_id])
    assert [(run.info.status, run.data.metrics) for run in runs] == [("FINISHED", {"auc": 0.87})]
    assert client.get_model_version_by_alias(name, "challenger").version == "1"
    assert registry.download(mlflow_server, name, "1")["model.onnx"] == model()


def test_two_callers_at_once_end_in_one_version(mlflow_server, tmp_path):
    callers = [child(mlflow_server, tmp_path, "raced") for _ in range(2)]
    outputs = [caller.communicate(timeout=180) for caller in callers]
    assert [out.strip().splitlines()[-1:] for out, _ in outputs] == [["1"], ["1"]], outputs
    assert [caller.returncode for caller in callers] == [0, 0], outputs
    assert len(versions(mlflow_server, "raced")) == 1


def test_an_unreachable_server_is_reported_soon_and_without_its_password():
    nowhere = MlflowConnection(f"http://slipway:secret@127.0.0.1:{free_port()}")
    start = time.monotonic()
    with pytest.raises(UnavailableError, match="does not answer") as caught:
        registry.find(nowhere, "flight_delay", "a" * 64)
    assert time.monotonic() - start < 20
    assert "secret" not in str(caught.value)
    assert "start it or correct the connection mlflow_default" in str(caught.value)


def test_the_ledgers_advisory_lock_is_held_by_one_and_freed_with_its_session():
    with postgresql_ledger() as ledger:
        with advisory_lock("register-x", ledger):
            with advisory_lock("register-y", ledger, wait_seconds=0.2):
                pass
            busy = advisory_lock("register-x", ledger, wait_seconds=0.2)
            with pytest.raises(UnavailableError, match="register-x"), busy:
                pass
        with advisory_lock("register-x", ledger, wait_seconds=0.2):
            pass
