"""Train: pin the data, say what each pod shall do, and register what passed.

``plan_training`` decides everything before any work: the commit that is read, the days that are learned from and held
out, the fingerprint, and for every pod its arguments and where its result must lie. What follows only carries out.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.connections import Runtime
from slipway.identity.canonical import canonical_json
from slipway.identity.code import code_digests, combined, require_unchanged
from slipway.identity.digest import sha256_bytes, sha256_file
from slipway.identity.environment import LOCK, lock_digest
from slipway.identity.fingerprint import Ingredients, cpu_hardware_class
from slipway.lake.client import Lake
from slipway.lake.records import ObjectInfo
from slipway.lake.run_branch import train_branch
from slipway.lake.uri import LakeUri
from slipway.pipeline.spec import Pipeline
from slipway.pods.manifest import PodManifest, load_manifest
from slipway.pods.result import PodResult, read_result
from slipway.stages.partitions import choose_partitions, without_replays

STAGE = "train"
_DAY = re.compile(r"/date=(\d{4}-\d{2}-\d{2})/")


@dataclass(frozen=True)
class Work:
    """One pod's task: its arguments, and the lake prefix where its result must lie with which fingerprint."""

    arguments: list[str]
    output: str
    fingerprint: str


@dataclass(frozen=True)
class TrainingPlan:
    """Everything a training run will do, decided before it starts."""

    pipeline: str
    commit: str
    partitions: list[str]
    holdout: list[str]
    fingerprint: str
    branch: str
    code: str
    """Digest over the code closure."""
    sources: dict[str, str]
    """What this checkout adds to the fingerprint, source -> digest: code, dependency lock, settings and manifests."""
    targets: list[str]
    works: dict[str, Work]
    """``train``, ``export``, and one per target."""

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> TrainingPlan:
        """The plan from its plain form (``dataclasses.asdict``), as tasks hand it on."""
        return cls(**{**value, "works": {name: Work(**work) for name, work in value["works"].items()}})

    def output(self, work: str) -> LakeUri:
        """Where a pod's result lies."""
        return LakeUri.parse(self.works[work].output)


def plan_training(
    lake: Lake,
    pipeline: Pipeline,
    *,
    root: Path,
    runtime: Runtime,
    champion: str | None,
    least: int | None = None,
    until: dt.date | None = None,
) -> TrainingPlan:
    """Pin ``main`` and decide the whole run; the run branch starts at the pinned commit.

    Args:
        lake: where the features are.
        pipeline: whose model is trained.
        root: the project, for its code.
        champion: version the new model is compared with; part of the fingerprint, since it decides the verdict.
        runtime: where the pods will run; decides the hardware class.
        until: the last partition to use, for a training as of an earlier day; all when ``None``.
        least: fewest partitions to train on; the pipeline's ``min_new_partitions`` when ``None``.

    Raises:
        DataError: not enough partitions are published.
    """
    lake.ensure_repository(pipeline.repository)
    commit = lake.resolve(pipeline.repository, "main")
    features = _by_day(lake.list(LakeUri(pipeline.repository, commit, "features/")))
    days = [day for day in features if until is None or day <= until.isoformat()]
    partitions, holdout = choose_partitions(
        days,
        holdout=pipeline.training.holdout_partitions,
        most=pipeline.training.max_partitions,
        least=pipeline.training.min_new_partitions if least is None else least,
    )
    raw = _by_day(lake.list(LakeUri(pipeline.repository, commit, "raw/")))
    partitions = without_replays(partitions, holdout, raw)
    code = training_code(pipeline, root)
    ingredients = Ingredients(
        stage=STAGE,
        pipeline=pipeline.name,
        code=code,
        parameters=_settings(pipeline, root) | {"partitions": partitions, "holdout": holdout, "champion": champion},
        inputs={path: checksum for day in (*partitions, *holdout) for path, checksum in features[day]},
        environment=lock_digest(root),
        hardware=_hardware(runtime, load_manifest(_manifest(root, pipeline.training.pod))),
        seed=pipeline.training.seed,
    )
    plan = _works(pipeline, commit, ingredients, sources_of(pipeline, root, code))
    lake.create_branch(pipeline.repository, plan.branch, commit)
    return plan


def _by_day(objects: Sequence[ObjectInfo]) -> dict[str, list[tuple[str, str]]]:
    """Day -> (path, checksum) of its objects, days in order."""
    days: dict[str, list[tuple[str, str]]] = {}
    for item in objects:
        if match := _DAY.search(item.path):
            days.setdefault(match.group(1), []).append((item.path, item.checksum))
    return dict(sorted(days.items()))


def require_planned_code(plan: TrainingPlan, pipeline: Pipeline, root: Path) -> None:
    """Raise ``ConfigurationError`` when code, settings or manifests are no longer those the plan fingerprinted."""
    require_unchanged(plan.sources, sources_of(pipeline, root, training_code(pipeline, root)), since="plan")


def sources_of(pipeline: Pipeline, root: Path, code: Mapping[str, str]) -> dict[str, str]:
    """What this checkout adds to a training's fingerprint, source -> digest; ``code`` is its ``training_code``."""
    settings = sha256_bytes(canonical_json(_settings(pipeline, root)))
    named = {LOCK: lock_digest(root), f"{pipeline.name}.yaml or its pods' manifests": settings}
    return {**code, **named}


def _settings(pipeline: Pipeline, root: Path) -> dict[str, Any]:
    pods = (pipeline.training.pod, *pipeline.compile.pods.values())
    return {
        "training": pipeline.training.model_dump(mode="json"),
        "compile": pipeline.compile.model_dump(mode="json"),
        "min_golden_agreement": pipeline.release.gates.min_golden_agreement,
        "pods": {pod: sha256_file(_manifest(root, pod)) for pod in pods},
    }


def _manifest(root: Path, pod: str) -> Path:
    return root / "include" / "pods" / f"{pod}.yaml"


def _hardware(runtime: Runtime, manifest: PodManifest) -> str:
    """This machine's class for a process; else what the pod asks for, not the node it happens to run on."""
    if runtime == "process":
        return cpu_hardware_class()
    limits = manifest.container.resources.limits
    asked = {**manifest.spec.selector, **{key: str(value) for key, value in limits.items() if "/" in key}}
    return ",".join(f"{key}={value}" for key, value in sorted(asked.items())) or "cpu"


def training_code(pipeline: Pipeline, root: Path) -> dict[str, str]:
    """The code a model is made by: training, export, compile, and the user's model module."""
    include = root / "include"
    # Targets are looked up by name, so that one's libraries are not needed for another: no import leads to them.
    targets = sorted((include / "slipway" / "compile" / "targets").glob("*.py"))
    entries = [
        include / "slipway" / "training" / "__main__.py",
        include / "slipway" / "compile" / "__main__.py",
        include / "slipway" / "compile" / "export.py",
        include / "models" / f"{pipeline.training.model}.py",
        *targets,
    ]
    return code_digests(entries, [include])


def _works(pipeline: Pipeline, commit: str, ingredients: Ingredients, sources: dict[str, str]) -> TrainingPlan:
    fingerprint = ingredients.fingerprint()
    partitions, holdout, champion = (ingredients.parameters[name] for name in ("partitions", "holdout", "champion"))
    branch = train_branch(pipeline.name, fingerprint)
    base = LakeUri(pipeline.repository, branch, f"models/{fingerprint}")
    shared = ["--pipeline", pipeline.name, "--fingerprint", fingerprint]
    train, export = str(base / "train"), str(base / "export")
    made = ["--train", train, "--export", export]
    targets: list[str] = [target.name for target in pipeline.compile.targets]
    days = ["--commit", commit, "--partitions", ",".join(partitions), "--holdout", ",".join(holdout)]
    compared = ["--champion", champion] if champion else []
    arguments: dict[str, list[str]] = {
        "train": [*days, *compared, "--output", train],
        "export": ["--input", train, "--output", export],
        **{name: ["--target", name, *made, "--output", str(base / f"compile-{name}")] for name in targets},
    }
    return TrainingPlan(
        pipeline=pipeline.name,
        commit=commit,
        partitions=partitions,
        holdout=holdout,
        fingerprint=fingerprint,
        branch=branch,
        code=combined(ingredients.code),
        sources=sources,
        targets=targets,
        works={name: Work([*shared, *given], given[-1], fingerprint) for name, given in arguments.items()},
    )


def evaluation(lake: Lake, plan: TrainingPlan) -> Mapping[str, Any]:
    """What the training pod measured: metrics, baseline, champion, slices and its verdict.

    Raises:
        PodResultError: the training pod's result is missing or does not verify.
    """
    output = plan.output("train")
    read_result(lake, output, plan.fingerprint)
    value: Mapping[str, Any] = json.loads(lake.get(output / "evaluation.json"))
    return value


def results(lake: Lake, plan: TrainingPlan) -> dict[str, PodResult]:
    """Every pod's verified result by work name (``train``, ``export``, target names)."""
    return {name: read_result(lake, plan.output(name), plan.fingerprint) for name in plan.works}
