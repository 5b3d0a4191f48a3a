"""The training pod: real torch, real MLflow on a file, the lake in memory or behind the project's own server."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient
from safetensors.numpy import load

from slipway.compile.export import to_onnx
from slipway.connections import LakeConnection
from slipway.errors import ConfigurationError, DataError, ModelError, UnavailableError
from slipway.lake.client import Lake
from slipway.lake.uri import LakeUri
from slipway.pipeline.load import find_pipeline
from slipway.pipeline.spec import Pipeline
from slipway.pods.entrypoint import EX_DATAERR, EX_TEMPFAIL
from slipway.pods.result import PodResult, read_result
from slipway.settings import settings
from slipway.training.fit import predict
from slipway.training.job import Request, train
from slipway.training.model_module import ModelModule, build, encode, load_model_module
from slipway.training.tracking import client_from_environment
from tests.contract.lake.server import running_server
from tests.integration.training_features import DIGIT_DAYS, FLIGHT_DAYS, digits, flights
from tests.simulators.lake import LakeSimulator

FINGERPRINT = "f" * 64
OUTPUTS = {"model.safetensors", "holdout.npz", "calibration.npz", "golden.npz", "slices.json", "evaluation.json"}


@pytest.fixture(scope="module")
def tracking_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"


@pytest.fixture
def client(tracking_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MlflowClient]:
    monkeypatch.chdir(tmp_path)  # MLflow keeps artifacts of a file store below the working directory
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri)
    yield client_from_environment()
    mlflow.set_tracking_uri(None)


def publish(lake: Any, repository: str, days: Mapping[str, pd.DataFrame]) -> str:
    lake.ensure_repository(repository)
    lake.create_branch(repository, "ingest", "main")
    for day, frame in days.items():
        buffer = io.BytesIO()
        frame.to_parquet(buffer, index=False)
        lake.put(LakeUri(repository, "ingest", f"features/date={day}/part-00000.parquet"), buffer.getvalue())
    commit: str = lake.commit(repository, "ingest", "features", {})
    lake.create_branch(repository, "train", commit)
    return commit


@dataclass(frozen=True)
class Workshop:
    """A pipeline with published features, ready to train."""

    pipeline: Pipeline
    module: ModelModule
    lake: LakeSimulator
    commit: str
    client: MlflowClient

    def train(
        self, days: list[str], held_out: int, fingerprint: str = FINGERPRINT, champion: str | None = None
    ) -> PodResult:
        output = self.output(fingerprint)
        request = Request(self.commit, tuple(days[:-held_out]), tuple(days[-held_out:]), fingerprint, output, champion)
        train(request, self.pipeline, self.module, self.lake, self.client)
        return read_result(self.lake, output, fingerprint)

    def output(self, fingerprint: str = FINGERPRINT) -> LakeUri:
        return LakeUri(self.pipeline.repository, "train", f"models/train/{fingerprint}")

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        with np.load(io.BytesIO(self.lake.get(self.output() / name)), allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}

    def weights(self) -> dict[str, np.ndarray]:
        return dict(load(self.lake.get(self.output() / "model.safetensors")))


def workshop(client: MlflowClient, name: str, days: Mapping[str, pd.DataFrame], model_name: str = "") -> Workshop:
    pipeline = find_pipeline(settings().pipelines, name)
    if model_name:  # experiments and registered models are shared by this module's tests
        pipeline = pipeline.model_copy(update={"name": model_name})
    module = load_model_module(settings().models / f"{pipeline.training.model}.py")
    lake = LakeSimulator()
    return Workshop(pipeline, module, lake, publish(lake, pipeline.repository, days), client)


def flight_workshop(client: MlflowClient, name: str) -> Workshop:
    return workshop(client, "flight_delay", {day: flights(day) for day in FLIGHT_DAYS}, name)


def trained_network(shop: Workshop) -> Any:
    import torch

    network = build(shop.module, shop.pipeline.training.parameters)
    network.load_state_dict({name: torch.from_numpy(values) for name, values in shop.weights().items()})
    return network.eval()


def crown(shop: Workshop, model: bytes, folder: Path) -> str:
    """Register an ONNX model as a version to be compared with."""
    (folder / "model.onnx").write_bytes(model)
    shop.client.create_registered_model(shop.pipeline.name)
    version = shop.client.create_model_version(shop.pipeline.name, source=folder.as_uri()).version
    return str(version)


def test_digits_are_read_and_everything_is_reported(client: MlflowClient) -> None:
    shop = workshop(client, "digit_reader", {day: digits(day) for day in DIGIT_DAYS})
    result = shop.train(DIGIT_DAYS, held_out=4)

    assert set(result.outputs) == OUTPUTS
    assert result.report["verdict"]["outcome"] == "pass"
    assert result.report["metrics"]["accuracy"] >= 0.95
    assert result.report["baseline"]["accuracy"] < 0.2
    assert result.hardware.endswith("-cpu") or "NVIDIA" in result.hardware
    assert result.environment["packages"]["torch"]
    assert shop.arrays("holdout.npz")["input:image"].shape == (240, 1, 8, 8)
    assert shop.arrays("calibration.npz")["input:image"].shape == (1024, 1, 8, 8)
    assert shop.arrays("golden.npz")["input:image"].shape == (64, 1, 8, 8)


def test_flights_are_judged_on_later_days_overall_and_per_slice(client: MlflowClient) -> None:
    shop = flight_workshop(client, "flight_judged")
    shop.train(FLIGHT_DAYS, held_out=2)
    evaluation = json.loads(shop.lake.get(shop.output() / "evaluation.json"))

    assert evaluation["metric"] == "auc"
    assert evaluation["metrics"]["auc"] > 0.9
    assert evaluation["metrics"]["rows"] == 500
    assert evaluation["baseline"]["auc"] < 0.6
    assert evaluation["champion"] is None
    assert evaluation["verdict"]["outcome"] == "pass"
    assert set(evaluation["slices"]["carrier"]) == {"UA", "B6", "EV", "DL"}
    assert sum(part["rows"] for part in evaluation["slices"]["origin"].values()) == 500
    assert evaluation["slices"]["origin"]["JFK"]["late_share"] > evaluation["slices"]["origin"]["EWR"]["late_share"]
    assert sum(evaluation["prediction_shares"].values()) == pytest.approx(1.0)
    assert json.loads(shop.lake.get(shop.output() / "slices.json")) == evaluation["slices"]


def test_the_files_hold_what_the_trained_network_says(client: MlflowClient) -> None:
    shop = flight_workshop(client, "flight_files")
    shop.train(FLIGHT_DAYS, held_out=2)
    network, holdout, golden = trained_network(shop), shop.arrays("holdout.npz"), shop.arrays("golden.npz")
    held_out = encode(shop.module, pd.concat([flights(day) for day in FLIGHT_DAYS[-2:]]))

    np.testing.assert_array_equal(holdout["input:numeric"], held_out.inputs["numeric"])
    np.testing.assert_array_equal(holdout["labels"], held_out.labels)
    np.testing.assert_array_equal(holdout["logits"], predict(network, held_out.inputs))
    inputs = {name.removeprefix("input:"): values for name, values in golden.items() if name != "logits"}
    np.testing.assert_allclose(golden["logits"], predict(network, inputs), atol=1e-5)
    assert len(golden["logits"]) == 64


def test_mlflow_has_parameters_epochs_final_metrics_and_the_fingerprint(client: MlflowClient) -> None:
    shop = flight_workshop(client, "flight_logged")
    result = shop.train(FLIGHT_DAYS, held_out=2)
    experiment = client.get_experiment_by_name("flight_logged")
    (run,) = client.search_runs([experiment.experiment_id])

    assert run.info.status == "FINISHED"
    assert run.data.tags["slipway.fingerprint"] == FINGERPRINT
    assert run.data.tags["slipway.commit"] == shop.commit
    assert run.data.tags["slipway.verdict"] == "pass"
    assert run.data.params["learning_rate"] == "0.003"
    assert run.data.params["seed"] == "20130101"
    assert run.data.metrics["auc"] == pytest.approx(result.report["metrics"]["auc"])
    losses = client.get_metric_history(run.info.run_id, "train_loss")
    assert [metric.step for metric in losses] == list(range(1, 13))
    assert losses[-1].value < losses[0].value / 2


def test_a_retry_adopts_the_run_with_its_fingerprint(client: MlflowClient) -> None:
    shop = flight_workshop(client, "flight_retried")
    first = shop.train(FLIGHT_DAYS, held_out=2)
    again = shop.train(FLIGHT_DAYS, held_out=2)
    shop.train(FLIGHT_DAYS, held_out=2, fingerprint="e" * 64)

    experiment = client.get_experiment_by_name("flight_retried")
    tags = [run.data.tags["slipway.fingerprint"] for run in client.search_runs([experiment.experiment_id])]
    assert sorted(tags) == ["e" * 64, FINGERPRINT]
    assert first.outputs == again.outputs


def test_a_model_equal_to_the_champion_is_not_better_by_the_margin(client: MlflowClient, tmp_path: Path) -> None:
    shop = flight_workshop(client, "flight_crowned")
    shop.train(FLIGHT_DAYS, held_out=2)
    inputs = {name.removeprefix("input:"): v[:2] for name, v in shop.arrays("holdout.npz").items() if "input:" in name}
    version = crown(shop, to_onnx(trained_network(shop), inputs), tmp_path)

    result = shop.train(FLIGHT_DAYS, held_out=2, fingerprint="e" * 64, champion=version)
    champion, own = result.report["champion"], result.report["metrics"]
    assert (champion["version"], champion["rows"]) == (version, 500)
    assert champion["auc"] == pytest.approx(own["auc"], abs=1e-4)
    assert result.report["verdict"]["outcome"] == "fail"
    assert f"champion version {version}" in result.report["verdict"]["reasons"][0]


def test_a_champion_that_cannot_run_on_these_rows_stops_the_training(client: MlflowClient, tmp_path: Path) -> None:
    shop = flight_workshop(client, "flight_changed")
    reader = load_model_module(settings().models / "digit_reader.py")
    images = {"image": np.zeros((2, 1, 8, 8), dtype=np.float32)}
    version = crown(shop, to_onnx(reader.build({"channels": 2}), images), tmp_path)

    with pytest.raises(ModelError, match=r"champion version 1 of flight_changed cannot be run.*remove the alias"):
        shop.train(FLIGHT_DAYS, held_out=2, champion=version)
    assert not shop.lake.exists(shop.output() / "result.json")
    experiment = client.get_experiment_by_name("flight_changed")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FAILED"


def test_noise_does_not_beat_the_baseline(client: MlflowClient) -> None:
    days = {day: flights(day) for day in FLIGHT_DAYS}
    rng = np.random.default_rng(1)
    noise = {day: frame.assign(late=rng.random(len(frame)) < 0.3) for day, frame in days.items()}
    result = workshop(client, "flight_delay", noise, "flight_noise").train(FLIGHT_DAYS, held_out=2)
    assert result.status == "built"
    assert result.report["verdict"]["outcome"] == "fail"
    assert "baseline" in result.report["verdict"]["reasons"][0]


def test_one_label_in_all_training_rows_is_nothing_to_learn(client: MlflowClient) -> None:
    days = {day: flights(day).assign(late=False) for day in FLIGHT_DAYS}
    with pytest.raises(DataError, match="at least two classes"):
        workshop(client, "flight_delay", days, "flight_single").train(FLIGHT_DAYS, held_out=2)


def test_an_mlflow_server_nobody_runs_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(UnavailableError, match=r"expected an MLflow server at http://127\.0\.0\.1:9"):
        client_from_environment()


def test_mlflow_without_an_address_does_not_fall_back_to_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(ConfigurationError, match="MLFLOW_TRACKING_URI"):
        client_from_environment()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LakeConnection]:
    with running_server(tmp_path_factory.mktemp("lakefs")) as connection:
        yield connection


def run_pod(arguments: list[str], lake: LakeConnection, tracking_uri: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "PYTHONPATH": str(settings().root / "include"),
        "LAKECTL_SERVER_ENDPOINT_URL": lake.endpoint,
        "LAKECTL_CREDENTIALS_ACCESS_KEY_ID": lake.access_key,
        "LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY": lake.secret_key,
        "MLFLOW_TRACKING_URI": tracking_uri,
    }
    command = [sys.executable, "-m", "slipway.training", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)


def pod_arguments(commit: str, fingerprint: str, days: list[str], held_out: int) -> list[str]:
    return [
        *("--pipeline", "flight_delay", "--commit", commit, "--fingerprint", fingerprint),
        *("--partitions", ",".join(days[:-held_out]), "--holdout", ",".join(days[-held_out:])),
        *("--output", f"lakefs://flight-delay/train/models/train/{fingerprint}"),
    ]


def test_two_pods_on_one_machine_give_the_same_bytes(server: LakeConnection, tracking_uri: str) -> None:
    lake = Lake(server)
    commit = publish(lake, "flight-delay", {day: flights(day) for day in FLIGHT_DAYS})
    results = []
    for fingerprint in ("1" * 64, "2" * 64):
        pod = run_pod(pod_arguments(commit, fingerprint, FLIGHT_DAYS, 2), server, tracking_uri)
        assert pod.returncode == 0, pod.stderr
        assert "epoch 12/12" in pod.stdout
        output = LakeUri("flight-delay", "train", f"models/train/{fingerprint}")
        results.append(read_result(lake, output, fingerprint))
    assert set(results[0].outputs) == OUTPUTS
    assert results[0].outputs == results[1].outputs

    pod = run_pod(pod_arguments(commit, "3" * 64, FLIGHT_DAYS[::-1], 2), server, tracking_uri)
    assert pod.returncode == EX_DATAERR
    assert "DataError: expected every held-out partition to be later" in pod.stderr


def test_a_pod_that_reaches_no_mlflow_asks_for_a_retry(server: LakeConnection) -> None:
    pod = run_pod(pod_arguments("a" * 64, FINGERPRINT, FLIGHT_DAYS, 2), server, "http://127.0.0.1:9")
    assert pod.returncode == EX_TEMPFAIL
    assert "UnavailableError: expected an MLflow server at http://127.0.0.1:9" in pod.stderr
    assert server.secret_key not in pod.stdout + pod.stderr
