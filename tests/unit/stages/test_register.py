"""From a training run's outputs to one model version, and what keeps a version from being made."""

import io
from dataclasses import replace

import numpy as np
import pytest

from slipway.connections import LedgerConnection, MlflowConnection
from slipway.errors import CompileError, PodResultError, UnavailableError
from slipway.ledger.store import Ledger
from slipway.registry.registration import FINGERPRINT_TAG
from slipway.settings import settings
from slipway.stages import register
from slipway.stages.register import champion_version, register_version
from tests.simulators.death import Death, retried
from tests.simulators.ledger import step
from tests.unit.stages.trained import PIPELINE, RUN, compiled, planned, report, train

MLFLOW = MlflowConnection("http://127.0.0.1:1")
REPO = PIPELINE.repository


@pytest.fixture
def plan(lake):
    """A training run that has done everything but register."""
    plan = planned(lake)
    train(lake, plan)
    compiled(lake, plan)
    return plan


def registered(lake, ledger, plan) -> str:
    return register_version(
        lake, ledger, MLFLOW, PIPELINE, plan=plan, run=RUN, root=settings().root, intents=step(ledger)
    )


def test_a_version_holds_every_artifact_and_says_where_it_came_from(lake, ledger, registry, plan):
    assert registered(lake, ledger, plan) == "1"
    files = registry.download(MLFLOW, PIPELINE.name, "1")
    assert files["model.onnx"] == b"canonical"
    assert {"golden.npz", "evaluation.json", "slices.json", "model.safetensors", "replay.npz"} <= set(files)
    for target in ("x86-cpu", "x86-cpu-int8"):
        assert files[f"targets/{target}/model.onnx"] == lake.get(plan.output(target) / "model.onnx")
        assert f"targets/{target}/manifest.json" in files
    tags = registry.version_tags(MLFLOW, PIPELINE.name, "1")
    assert tags[FINGERPRINT_TAG] == plan.fingerprint
    assert tags["slipway.data_commit"] == plan.commit
    assert tags["slipway.model_commit"] == lake.resolve(REPO, "model-flight_delay-v1")
    assert tags["slipway.target.x86-cpu"] == "built"
    assert registry.challenger(MLFLOW, PIPELINE.name) == "1"
    assert champion_version(MLFLOW, PIPELINE) is None


def test_the_replay_for_sensors_has_the_held_out_inputs_and_no_labels(lake, ledger, registry, plan):
    registered(lake, ledger, plan)
    with np.load(io.BytesIO(registry.download(MLFLOW, PIPELINE.name, "1")["replay.npz"])) as replay:
        assert replay.files == ["input:numeric"]
        assert replay["input:numeric"].shape == (8, 3)


def test_a_skipped_target_stays_out_of_the_version_and_keeps_its_reason(lake, ledger, registry, plan):
    registered(lake, ledger, plan)
    assert not any("jetson-orin" in path for path in registry.download(MLFLOW, PIPELINE.name, "1"))
    tags = registry.version_tags(MLFLOW, PIPELINE.name, "1")
    assert tags["slipway.target.jetson-orin"] == "skipped: TensorRT is not installed"
    (statement,) = ledger.statements(PIPELINE.name, register.STAGE)
    targets = {target["name"]: target for target in statement.details["targets"]}
    assert targets["jetson-orin"]["status"] == "skipped" and targets["jetson-orin"]["sha256"] is None
    assert targets["x86-cpu"]["status"] == "built" and targets["x86-cpu"]["agreement"] == 1.0


def test_the_models_commit_has_provenance_and_main_is_left_alone(lake, ledger, registry, plan):
    registered(lake, ledger, plan)
    assert lake.resolve(REPO, "main") == plan.commit
    made = lake.commit_info(REPO, "model-flight_delay-v1")
    assert made.parents == (plan.commit,)
    assert made.metadata["::lakefs::Airflow::dag_run_id"] == "run-7"
    assert made.metadata["slipway.fingerprint"] == plan.fingerprint
    assert made.metadata["slipway.rows.holdout"] == "2500"


def test_registering_again_gives_the_same_version(lake, ledger, registry, plan):
    assert [registered(lake, ledger, plan), registered(lake, ledger, plan)] == ["1", "1"]
    assert len(registry.versions) == 1
    assert len(ledger.statements(PIPELINE.name, register.STAGE)) == 1


def test_a_version_that_was_deleted_and_registered_again_disputes_nothing(lake, ledger, registry, plan):
    assert registered(lake, ledger, plan) == "1"
    # MLflow gives no number twice.
    registry.versions[0] = replace(registry.versions[0], fingerprint="deleted")
    assert registered(lake, ledger, plan) == "2"
    stated = ledger.statements(PIPELINE.name, register.STAGE)
    assert [one.subject for one in stated] == ["1", "2"]
    assert not any(ledger.find(one.fingerprint).disputed for one in stated)


def test_a_registration_killed_before_any_effect_ends_in_one_version(lake, ledger, registry, plan, monkeypatch):
    effects = 4  # commit, register, tag, record
    for at in range(effects + 1):
        death = Death(at)
        one = planned(lake, champion=f"{at}")
        train(lake, one)
        compiled(lake, one)
        monkeypatch.setattr(register, "mlflow_registry", death.watch(registry, "register"))
        watched = death.watch(lake, "commit", "tag"), death.watch(ledger, "record")
        assert retried(registered, *watched, one) == str(at + 1)
        assert death.happened == (at < effects)
    assert len(registry.versions) == len(ledger.statements(PIPELINE.name, register.STAGE)) == effects + 1


def test_without_a_target_that_was_built_there_is_no_version(lake, ledger, registry, plan):
    compiled(lake, plan, skipped={target: f"no {target} here" for target in plan.targets})
    with pytest.raises(CompileError, match=r"all were skipped \(x86-cpu: no x86-cpu here; .*train again") as caught:
        registered(lake, ledger, plan)
    assert not caught.value.retryable
    assert registry.versions == [] and ledger.statements(PIPELINE.name, register.STAGE) == []
    assert lake.resolve(REPO, plan.branch) == plan.commit


def test_a_target_refused_for_its_parity_keeps_the_whole_version_back(lake, ledger, registry):
    plan = planned(lake)
    train(lake, plan)
    compiled(lake, plan)
    lake.delete(plan.output("x86-cpu-int8") / "result.json")  # its pod wrote report.json and failed
    with pytest.raises(PodResultError, match=r"compile-x86-cpu-int8/[0-9a-f]{64}/result\.json, but there is none"):
        registered(lake, ledger, plan)
    assert registry.versions == [] and lake.resolve(REPO, plan.branch) == plan.commit


def test_an_artifact_changed_after_its_pod_wrote_it_is_never_registered(lake, ledger, registry, plan):
    lake.put(plan.output("x86-cpu") / "model.onnx", b"tampered")
    with pytest.raises(PodResultError, match=r"compile-x86-cpu/[0-9a-f]{64}/model\.onnx has sha256"):
        registered(lake, ledger, plan)
    assert registry.versions == []


def test_the_report_of_another_run_is_not_taken_for_this_one(lake, ledger, registry, plan):
    other = planned(lake, champion="9")
    report(lake, other, "export", {"model.onnx": b"other"})
    lake.put(plan.output("export") / "result.json", lake.get(other.output("export") / "result.json"))
    with pytest.raises(PodResultError, match="the report of other work"):
        registered(lake, ledger, plan)


def test_a_service_that_is_away_may_be_tried_again(lake, ledger, registry, plan):
    registry.reachable = False
    with pytest.raises(UnavailableError) as caught:
        registered(lake, ledger, plan)
    assert caught.value.retryable and ledger.statements(PIPELINE.name, register.STAGE) == []
    registry.reachable = True
    away = Ledger(LedgerConnection("postgresql+psycopg2://u:p@127.0.0.1:1/ledger", ledger.connection.keys))
    with pytest.raises(UnavailableError, match="slipway_ledger"):
        registered(lake, away, plan)
    assert registered(lake, ledger, plan) == "1"
    assert len(registry.versions) == 1
