"""Register: everything a training run built becomes one model version."""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway.connections import MlflowConnection
from slipway.errors import CompileError
from slipway.identity.environment import lock_digest
from slipway.identity.fingerprint import Ingredients, cpu_hardware_class
from slipway.lake.client import Lake
from slipway.ledger.effects import Intents
from slipway.ledger.statement import Statement
from slipway.ledger.store import Ledger
from slipway.pipeline.spec import Pipeline
from slipway.pods.result import PodResult
from slipway.registry import mlflow_registry
from slipway.registry.registration import Registration
from slipway.stages import intended
from slipway.stages.code import stage_code
from slipway.stages.run import Run
from slipway.stages.train import TrainingPlan, evaluation, results
from slipway.stages.works import EXPORT, TRAIN

STAGE = "register"
MODEL_COMMIT = "slipway.model_commit"
"""The tag of a version that names the lake's commit with everything its run built."""
_INPUT = "input:"


def champion_version(registry: MlflowConnection, pipeline: Pipeline) -> str | None:
    """The version that completed its release last, if there is one."""
    return mlflow_registry.champion(registry, pipeline.name)


def version_file(version: str, path: str) -> str:
    """The name a file of a version has in statements."""
    return f"versions/{version}/{path}"


def register_version(
    lake: Lake,
    ledger: Ledger,
    registry: MlflowConnection,
    pipeline: Pipeline,
    *,
    plan: TrainingPlan,
    run: Run,
    root: Path,
    intents: Intents,
) -> str:
    """Make one version of the trained model and every built artifact; returns its number.

    May be repeated after a kill at any point: the version is found by its fingerprint, the lake's tag by its name.

    Raises:
        PodResultError: a pod's result is missing or does not verify.
        CompileError: every target was skipped; no device could run the version, so none is made.
    """
    started = dt.datetime.now(dt.UTC)
    made = results(lake, plan)
    _require_built(plan, made)
    measured = evaluation(lake, plan)
    commit = _commit(lake, pipeline, plan, run, measured)
    holdout = _inputs(lake.get(plan.output(TRAIN) / "holdout.npz"))
    registration = Registration(
        name=pipeline.name,
        fingerprint=plan.fingerprint,
        run_fingerprint=plan.works[TRAIN].fingerprint,
        onnx=lake.get(plan.output(EXPORT) / "model.onnx"),
        artifacts=_artifacts(lake, plan, made, holdout),
        input_example={name: rows[:5] for name, rows in holdout.items()},
        tags=_tags(plan, made, commit, run),
        metrics={key: float(value) for key, value in measured["metrics"].items()},
    )
    effect = intended.register(pipeline.name, plan.fingerprint)
    intents.open(effect)
    version = mlflow_registry.register(registry, registration, ledger.connection)
    intents.done(effect, version)
    lake.tag(pipeline.repository, f"model-{pipeline.name}-v{version}", commit)
    ledger.record(
        Statement(
            ingredients=_ingredients(plan, root, version),
            subject=version,
            outputs={
                version_file(version, path): sha256
                for path, sha256 in mlflow_registry.digests(registry, pipeline.name, version).items()
            },
            materials=_materials(plan, made),
            execution=run.execution(root, started),
            commits={
                "data": f"{pipeline.repository}@{plan.commit}",
                "model": f"{pipeline.repository}@{commit}",
            },
            details=_details(plan, made, measured),
        )
    )
    return version


def _ingredients(plan: TrainingPlan, root: Path, version: str) -> Ingredients:
    code = stage_code(root, "include/slipway/stages/register.py")
    return Ingredients(
        stage=STAGE,
        pipeline=plan.pipeline,
        code=code.code,
        packages=code.packages,
        # A version that was deleted and registered again has another number, by which its outputs are named.
        parameters={"version_of": plan.fingerprint, "version": version},
        inputs={name: work.fingerprint for name, work in plan.works.items()},
        environment=lock_digest(root),
        hardware=cpu_hardware_class(),
    )


def _materials(plan: TrainingPlan, made: Mapping[str, PodResult]) -> dict[str, str]:
    return {
        f"{plan.output(name).path}/{path}": output.sha256
        for name, result in made.items()
        for path, output in result.outputs.items()
    }


def _require_built(plan: TrainingPlan, made: Mapping[str, PodResult]) -> None:
    if not any(made[target].status == "built" for target in plan.targets):
        reasons = "; ".join(f"{target}: {made[target].reason}" for target in plan.targets)
        raise CompileError(
            f"expected at least one target of {plan.pipeline} to be built, but all were skipped ({reasons}); compile "
            "where one can be built, or add a target that can be built here, then train again"
        )


def _commit(lake: Lake, pipeline: Pipeline, plan: TrainingPlan, run: Run, measured: Mapping[str, Any]) -> str:
    """Commit what the pods wrote on the run branch; the branch stays, and the version's tag keeps the commit."""
    metadata = run.metadata(
        pipeline=pipeline.name,
        stage=STAGE,
        fingerprint=plan.fingerprint,
        code=plan.code,
        inputs={"main": plan.commit},
        rows={"holdout": int(measured["metrics"]["rows"])},
    )
    return lake.commit(pipeline.repository, plan.branch, f"{pipeline.name}: model {plan.fingerprint[:12]}", metadata)


def _details(plan: TrainingPlan, made: Mapping[str, PodResult], measured: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "metrics": dict(measured["metrics"]),
        "metric": measured["metric"],
        "baseline": dict(measured["baseline"]),
        "targets": [_target(name, made[name]) for name in plan.targets],
        "partitions": plan.partitions,
        "holdout": plan.holdout,
    }


def _artifacts(
    lake: Lake, plan: TrainingPlan, made: Mapping[str, PodResult], holdout: Mapping[str, NDArray[np.generic]]
) -> dict[str, bytes]:
    train = plan.output(TRAIN)
    files = {
        name: lake.get(train / name) for name in ("golden.npz", "evaluation.json", "slices.json", "model.safetensors")
    }
    replay = io.BytesIO()
    arrays: dict[str, Any] = {f"{_INPUT}{name}": rows for name, rows in holdout.items()}
    np.savez(replay, **arrays)
    files["replay.npz"] = replay.getvalue()
    for target in plan.targets:
        for name in made[target].outputs:
            files[f"targets/{target}/{name}"] = lake.get(plan.output(target) / name)
    return files


def _inputs(data: bytes) -> dict[str, NDArray[np.generic]]:
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return {name.removeprefix(_INPUT): arrays[name] for name in arrays.files if name.startswith(_INPUT)}


def _tags(plan: TrainingPlan, made: Mapping[str, PodResult], commit: str, run: Run) -> dict[str, str]:
    tags = {
        "slipway.data_commit": plan.commit,
        MODEL_COMMIT: commit,
        "slipway.code": plan.code,
        "slipway.hardware": made[TRAIN].hardware,
        "slipway.partitions": f"{plan.partitions[0]}..{plan.partitions[-1]}",
        "slipway.holdout": f"{plan.holdout[0]}..{plan.holdout[-1]}",
        "slipway.run": run.run_url,
    }
    for target in plan.targets:
        tags[f"slipway.target.{target}"] = f"skipped: {made[target].reason}" if made[target].reason else "built"
    return tags


def _target(name: str, result: PodResult) -> dict[str, Any]:
    artifact = next((path for path in result.outputs if path.startswith("model.")), None)
    return {
        "name": name,
        "status": result.status,
        "reason": result.reason,
        "sha256": result.outputs[artifact].sha256 if artifact else None,
        "agreement": result.report.get("agreement"),
        "p50_ms": result.report.get("p50_ms"),
        "bytes": result.outputs[artifact].size if artifact else None,
    }
