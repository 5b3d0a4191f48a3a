"""A version of real stages, Spark, torch and ONNX in processes, is made again: bit for bit the same, or named."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from slipway.connections import LakeConnection, MlflowConnection, SparkConnection
from slipway.identity.digest import sha256_bytes
from slipway.lake.client import Lake
from slipway.lake.uri import LakeUri
from slipway.ledger.statement import Statement
from slipway.ledger.store import Ledger
from slipway.pipeline.load import find_pipeline
from slipway.settings import settings
from slipway.stages.ingest import land, publish_features
from slipway.stages.landing import features_prefix
from slipway.stages.pod_work import conclude_work
from slipway.stages.reproduce.past import past_of
from slipway.stages.reproduce.processes import Processes
from slipway.stages.reproduce.reproduction import Services, reproduce
from slipway.stages.reproduce.verdict import STAGES, Scope, Verdict
from slipway.stages.run import Run
from slipway.stages.train import plan_training
from tests.contract.lake.server import running_server
from tests.simulators.ledger import ingredients, ledger_at

PIPELINE = find_pipeline(settings().pipelines, "digit_reader")
DAYS = [dt.date(2013, 1, 1) + dt.timedelta(days=number) for number in range(6)]
RUN = Run("digit_reader.train", "run-1", "manual", "")

pytestmark = pytest.mark.timeout(900)  # a JVM, torch and two compilers, each twice


@dataclass(frozen=True)
class World:
    """A lake with everything a version was made of, and the ledger that says how."""

    services: Services
    ledger: Ledger
    data: Path
    """The lake's files."""
    folder: Path

    def again(self, *stages: str, partitions: int | None = None) -> Verdict:
        return reproduce(
            self.services,
            self.ledger,
            PIPELINE.name,
            "1",
            scope=Scope(stages or STAGES, partitions),
            run=RUN,
            root=settings().root,
            var=self.folder / "var",
            say=print,
        )

    def kept_file(self, stage: str, ending: str) -> Path:
        """The lake's own file of one output of the version."""
        past = past_of(self.ledger, PIPELINE.name, "1")
        made = past.features.values() if stage == "features" else [past.works[stage]]
        (sha256,) = (sha for one in made for name, sha in one.outputs.items() if name.endswith(ending))
        return next(self.data.rglob(sha256))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("reproduce")
    (folder / "lake").mkdir()
    with running_server(folder / "lake") as connection:
        registry = MlflowConnection(f"sqlite:///{folder / 'mlflow.db'}")
        services = Services(connection, SparkConnection(master="local[2]"), registry)
        ledger = ledger_at(folder)
        (folder / "work").mkdir()
        _make(connection, services, ledger, folder / "work")
        yield World(services, ledger, folder / "lake", folder)


def _make(connection: LakeConnection, services: Services, ledger: Ledger, folder: Path) -> None:
    """Version 1: each stage as its DAG does it, without Airflow and MLflow's registry."""
    root, lake = settings().root, Lake(connection)
    processes = Processes(connection, services.spark, services.registry, root, folder, print)
    landings = [land(lake, ledger, PIPELINE, day, root=root) for day in DAYS]
    places = {
        one.partition: (
            LakeUri(PIPELINE.repository, str(one.raw), ""),
            LakeUri(PIPELINE.repository, one.branch, features_prefix(one.partition)),
        )
        for one in landings
    }
    processes.features(root, PIPELINE.features.job, places)
    for landing in landings:
        publish_features(lake, ledger, PIPELINE, landing, RUN, root=root)
    plan = plan_training(lake, PIPELINE, root=root, runtime="process", champion=None, least=6)
    lake.create_branch(PIPELINE.repository, plan.branch, plan.commit)
    outputs = {}
    for name, work in plan.works.items():
        pod = PIPELINE.training.pod if name in ("train", "export") else PIPELINE.compile.pods[name]
        command = ["python", "-m", "slipway.compile.export"] if name == "export" else None
        processes.work(root, pod, command, work.arguments)
        result = conclude_work(lake, ledger, plan, name, RUN, root=root, started=dt.datetime.now(dt.UTC))
        outputs |= {f"{plan.output(name).path}/{path}": made.sha256 for path, made in result.outputs.items()}
    ledger.record(
        Statement(
            ingredients=ingredients("register", PIPELINE.name, parameters={"version_of": plan.fingerprint}),
            subject="1",
            outputs={"versions/1/model.onnx": sha256_bytes(b"model")},
            materials=outputs,
            execution=RUN.execution(root, dt.datetime.now(dt.UTC)),
        )
    )


def test_etl_training_onnx_and_artifacts_are_bit_identical(world: World) -> None:
    lake = Lake(world.services.lake)
    before = lake.branches(PIPELINE.repository), lake.resolve(PIPELINE.repository, "main")
    verdict = world.again()
    assert verdict.outcome == "identical", verdict.reason
    assert {one.stage for one in verdict.judged} == set(STAGES)
    assert [one.subject for one in verdict.of("compile")] == ["x86-cpu", "x86-cpu-int8"]
    assert (lake.branches(PIPELINE.repository), lake.resolve(PIPELINE.repository, "main")) == before


def test_one_changed_byte_in_the_lakes_storage_names_the_stage(world: World) -> None:
    model = world.kept_file("train", "/model.safetensors")
    whole = model.read_bytes()
    try:
        model.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        verdict = world.again("train", "export")
    finally:
        model.write_bytes(whole)
    assert (verdict.outcome, verdict.stage) == ("diverged", "train")
    assert "model.safetensors is kept as" in verdict.reason
    assert [one.outcome for one in verdict.of("export")] == ["inconclusive"]
