"""SIGKILL after every effect of a registration, those within MLflow too: its retry leaves one version of everything."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import mlflow
import numpy as np
import onnx
import pytest
from mlflow import MlflowClient
from onnx import TensorProto, helper, numpy_helper

from slipway.compile.onnx_model import canonical_bytes
from slipway.lake.client import Lake
from slipway.ledger.effects import Origin
from slipway.ledger.store import Ledger
from slipway.registry import mlflow_registry
from slipway.registry.client import connect
from slipway.registry.registration import FINGERPRINT_TAG
from slipway.settings import settings
from slipway.stages import register
from slipway.stages.train import TrainingPlan
from tests.contract.lake.server import running_server
from tests.integration.ledger import postgresql_ledger
from tests.integration.mlflow_server import running_mlflow
from tests.integration.worker import Services, Worker, settled
from tests.simulators.ledger import ledger_connection
from tests.unit.stages.trained import PIPELINE, RUN, compiled, planned, report, train

ORIGIN = Origin(PIPELINE.name, "train", RUN.dag_id, RUN.run_id, "register")
INSIDE = ("create_run", "log_artifacts", "create_model_version", "set_registered_model_alias")


@pytest.fixture(scope="module")
def services(tmp_path_factory):
    keys = ledger_connection(tmp_path_factory.mktemp("keys")).keys
    with (
        postgresql_ledger() as ledger,
        running_server(tmp_path_factory.mktemp("lake")) as lake,
        running_mlflow(tmp_path_factory.mktemp("mlflow")) as registry,
    ):
        yield Services(lake, replace(ledger, keys=keys), registry)


@pytest.fixture(scope="module")
def model() -> bytes:
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["numeric", "weight"], ["logits"], "dense")],
        "linear",
        [helper.make_tensor_value_info("numeric", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(np.arange(6, dtype=np.float32).reshape(3, 2), "weight")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(made)
    return canonical_bytes(made)


class Line:
    """One training run that has done everything but register."""

    def __init__(self, services: Services, model: bytes, name: str) -> None:
        lake = Lake(services.lake)
        # Compared with another champion it is another run.
        self.plan: TrainingPlan = planned(lake, champion=name)
        self.origin = replace(ORIGIN, run_id=name)
        train(lake, self.plan)
        compiled(lake, self.plan)
        report(lake, self.plan, "export", {"model.onnx": model})

    def __call__(self, worker: Worker) -> None:
        for name in INSIDE:
            setattr(MlflowClient, name, worker.fuse.after(getattr(MlflowClient, name), f"mlflow: {name}"))
        ledger = worker.fuse.watch(Ledger(worker.ledger_place), "record")
        register.mlflow_registry = worker.fuse.watch(mlflow_registry, "register")

        def work(intents, lake):
            return register.register_version(
                lake, ledger, worker.mlflow, PIPELINE, plan=self.plan, run=RUN, root=settings().root, intents=intents
            )

        worker.task(self.origin, work)


def require_one_of_everything(services: Services, line: Line, moment: str) -> None:
    client, fingerprint = connect(services.mlflow), line.plan.fingerprint
    (version,) = client.search_model_versions(
        f"name = '{PIPELINE.name}' and tags.`{FINGERPRINT_TAG}` = '{fingerprint}'"
    )
    experiment = client.get_experiment_by_name(PIPELINE.name).experiment_id
    runs = client.search_runs([experiment], f"tags.`{FINGERPRINT_TAG}` = '{line.plan.works['train'].fingerprint}'")
    assert len(runs) == 1, moment
    assert mlflow_registry.challenger(services.mlflow, PIPELINE.name) == str(version.version), moment
    assert "model.onnx" in mlflow_registry.download(services.mlflow, PIPELINE.name, str(version.version)), moment
    lake, commit = Lake(services.lake), version.tags[register.MODEL_COMMIT]
    named = [tag for tag, tagged in lake.tags(PIPELINE.repository).items() if tagged == commit]
    assert named == [f"model-{PIPELINE.name}-v{version.version}"], moment
    assert lake.resolve(PIPELINE.repository, line.plan.branch) == commit, moment
    with settled(services.ledger) as effects:
        records = [record for record in effects.records() if record.origin == line.origin]
        (statement,) = Ledger(services.ledger).statements(PIPELINE.name, register.STAGE, str(version.version))
    assert statement.commits["model"] == f"{PIPELINE.repository}@{commit}", moment
    assert {record.state for record in records} == {"done"}, moment
    assert Counter(record.effect.kind for record in records) == {"commit": 1, "register": 1, "tag": 1}, moment


@pytest.mark.timeout(900)
def test_a_worker_killed_at_any_moment_of_a_registration_leaves_one_of_everything(services, model, tmp_path):
    assert mlflow.__version__  # imported here, so that no worker has to
    whole = Line(services, model, "whole")
    code, moments = services.run(whole, tmp_path / "whole")
    assert code == 0 and {"commit", "register", "tag", "record", *(f"mlflow: {name}" for name in INSIDE)} <= set(
        moments
    )
    require_one_of_everything(services, whole, "without a kill")
    for number, moment in enumerate(moments, start=1):
        line, folder = Line(services, model, f"killed-{number}"), tmp_path / f"killed-{number}"
        told = f"killed after moment {number}, {moment}"
        code, passed = services.run(line, folder, die_after=number)
        assert code == -9 and passed == moments[:number], told
        code, _ = services.run(line, folder)
        assert code == 0, told
        require_one_of_everything(services, line, told)
    assert len(connect(services.mlflow).search_model_versions(f"name = '{PIPELINE.name}'")) == 1 + len(moments)
