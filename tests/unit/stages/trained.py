"""A training run whose pods have ended: everything they would have written lies on its run branch."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from slipway.lake.uri import LakeUri
from slipway.pipeline.load import find_pipeline
from slipway.pods.result import PodResult, upload, write_result
from slipway.settings import settings
from slipway.stages.run import Run
from slipway.stages.train import TrainingPlan, plan_training
from tests.simulators.channel import version_files
from tests.simulators.lake import LakeSimulator

PIPELINE = find_pipeline(settings().pipelines, "flight_delay")
RUN = Run("flight_delay.train", "run-7", "manual", "http://127.0.0.1/runs/7")
PASS = {"outcome": "pass", "reasons": []}
SKIPPED = {"jetson-orin": "TensorRT is not installed"}


def planned(lake: LakeSimulator, champion: str | None = None) -> TrainingPlan:
    """Publish 14 days where there are none, and plan on them; another champion gives another fingerprint."""
    lake.ensure_repository(PIPELINE.repository)
    if not lake.list(LakeUri(PIPELINE.repository, "main", "features/")):
        lake.create_branch(PIPELINE.repository, "days", "main")
        for day in (f"2013-01-{number:02d}" for number in range(1, 15)):
            uri = LakeUri(PIPELINE.repository, "days", f"features/date={day}/part-00000.parquet")
            lake.put(uri, b"features of " + day.encode())
        lake.commit(PIPELINE.repository, "days", "days", {})
        lake.merge(PIPELINE.repository, "days", "main", "days", {})
        lake.delete_branch(PIPELINE.repository, "days")
    return plan_training(lake, PIPELINE, root=settings().root, runtime="process", champion=champion)


def train(lake: LakeSimulator, plan: TrainingPlan, **changes: Any) -> None:
    """What the training pod writes; ``changes`` replace parts of ``evaluation.json``."""
    evaluation = {
        "metric": "auc",
        "metrics": {"auc": 0.87, "accuracy": 0.9, "rows": 2500},
        "baseline": {"kind": "group_share", "auc": 0.58, "accuracy": 0.8},
        "champion": None,
        "slices": {},
        "prediction_shares": {"late": 0.2, "on_time": 0.8},
        "verdict": PASS,
        **changes,
    }
    files = {
        "evaluation.json": json.dumps(evaluation).encode(),
        "slices.json": b"{}",
        "golden.npz": b"golden",
        "model.safetensors": b"weights",
        "holdout.npz": _npz({"input:numeric": np.arange(24, dtype=np.float32).reshape(8, 3), "labels": np.arange(8)}),
    }
    report(lake, plan, "train", files)


def compiled(lake: LakeSimulator, plan: TrainingPlan, skipped: Mapping[str, str] | None = None) -> None:
    """What the export pod and the compile pods write; ``skipped`` is target -> reason."""
    reasons = SKIPPED if skipped is None else skipped
    report(lake, plan, "export", {"model.onnx": b"canonical"})
    built = version_files(targets=tuple(target for target in plan.targets if target not in reasons))
    for target in plan.targets:
        prefix = f"targets/{target}/"
        files = {path.removeprefix(prefix): data for path, data in built.items() if path.startswith(prefix)}
        report(lake, plan, target, files, reasons.get(target))


def report(
    lake: LakeSimulator, plan: TrainingPlan, work: str, files: Mapping[str, bytes], reason: str | None = None
) -> None:
    """Write a pod's outputs and its result file."""
    output = plan.output(work)
    outputs = upload(lake, output, files)
    result = PodResult(
        stage=output.path.split("/")[-2],
        fingerprint=plan.works[work].fingerprint,
        status="skipped" if reason else "built",
        reason=reason,
        outputs=outputs,
        report={} if reason else {"agreement": 1.0, "p50_ms": 0.1},
        hardware="x86_64-cpu",
    )
    write_result(lake, output, result)


def _npz(arrays: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()
