"""Train: pin the data, say what each pod shall do, and register what passed.

``plan_training`` decides everything before any work: the commit that is read, the days that are learned from and held
out, the fingerprint, and for every pod its arguments and where its result must lie. What follows only carries out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.errors import DataError
from slipway.identity.code import code_digests
from slipway.identity.digest import sha256_bytes
from slipway.identity.environment import lock_digest
from slipway.identity.fingerprint import Ingredients
from slipway.lake.client import Lake
from slipway.lake.run_branch import train_branch
from slipway.lake.uri import LakeUri
from slipway.pipeline.spec import Pipeline
from slipway.pods.manifest import PodManifest, load_manifest
from slipway.pods.result import PodResult, read_result

STAGE = "train"
_PARTITION = re.compile(r"^features/date=(\d{4}-\d{2}-\d{2})/")


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


def choose_partitions(available: list[str], *, holdout: int, most: int, least: int) -> tuple[list[str], list[str]]:
    """Split days into those learned from and the later ones held out, newest ``most`` days in all.

    Raises:
        DataError: there are fewer than ``least`` days, or none is left to learn from.
    """
    days = sorted(set(available))[-most:]
    if len(days) < max(least, holdout + 1):
        raise DataError(
            f"expected at least {max(least, holdout + 1)} partitions of features, got {len(days)}"
            f"{': ' + days[0] + ' to ' + days[-1] if days else ''}; backfill more days, then trigger the run again"
        )
    return days[:-holdout], days[-holdout:]


def plan_training(
    lake: Lake, pipeline: Pipeline, *, root: Path, champion: str | None, least: int | None = None
) -> TrainingPlan:
    """Pin ``main`` and decide the whole run; the run branch starts at the pinned commit.

    Args:
        lake: where the features are.
        pipeline: whose model is trained.
        root: the project, for its code.
        champion: version the new model is compared with; part of the fingerprint, since it decides the verdict.
        least: fewest partitions to train on; the pipeline's ``min_new_partitions`` when ``None``.

    Raises:
        DataError: not enough partitions are published.
    """
    lake.ensure_repository(pipeline.repository)
    commit = lake.resolve(pipeline.repository, "main")
    objects = lake.list(LakeUri(pipeline.repository, commit, "features/"))
    matches = (_PARTITION.match(item.path) for item in objects)
    partitions, holdout = choose_partitions(
        [match.group(1) for match in matches if match],
        holdout=pipeline.training.holdout_partitions,
        most=pipeline.training.max_partitions,
        least=pipeline.training.min_new_partitions if least is None else least,
    )
    ingredients = Ingredients(
        stage=STAGE,
        pipeline=pipeline.name,
        code=training_code(pipeline, root),
        parameters={
            "training": pipeline.training.model_dump(mode="json"),
            "compile": pipeline.compile.model_dump(mode="json"),
            "partitions": partitions,
            "holdout": holdout,
            "champion": champion,
        },
        inputs={
            item.path: item.checksum
            for item in objects
            if (match := _PARTITION.match(item.path)) and match.group(1) in {*partitions, *holdout}
        },
        environment=lock_digest(root),
        hardware=_hardware(load_manifest(root / "include" / "pods" / f"{pipeline.training.pod}.yaml")),
        seed=pipeline.training.seed,
    )
    plan = _works(pipeline, commit, partitions, holdout, ingredients)
    lake.create_branch(pipeline.repository, plan.branch, commit)
    return plan


def _hardware(manifest: PodManifest) -> str:
    """The hardware class a pod asks for: node selector and accelerators, not the machine it happened to run on."""
    limits = manifest.container.resources.limits
    asked = {**manifest.spec.selector, **{key: str(value) for key, value in limits.items() if "/" in key}}
    return ",".join(f"{key}={value}" for key, value in sorted(asked.items())) or "cpu"


def training_code(pipeline: Pipeline, root: Path) -> dict[str, str]:
    """The code a model is made by: training, export, compile, and the user's model module."""
    include = root / "include"
    entries = [
        include / "slipway" / "training" / "__main__.py",
        include / "slipway" / "compile" / "__main__.py",
        include / "slipway" / "compile" / "export.py",
        include / "models" / f"{pipeline.training.model}.py",
    ]
    return code_digests(entries, [include])


def _works(
    pipeline: Pipeline, commit: str, partitions: list[str], holdout: list[str], ingredients: Ingredients
) -> TrainingPlan:
    fingerprint = ingredients.fingerprint()
    branch = train_branch(pipeline.name, fingerprint)
    base = LakeUri(pipeline.repository, branch, f"models/{fingerprint}")
    shared = ["--pipeline", pipeline.name, "--fingerprint", fingerprint]
    train, export = str(base / "train"), str(base / "export")
    made = ["--train", train, "--export", export]
    targets: list[str] = [target.name for target in pipeline.compile.targets]
    days = ["--commit", commit, "--partitions", ",".join(partitions), "--holdout", ",".join(holdout)]
    arguments: dict[str, list[str]] = {
        "train": [*days, "--output", train],
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
        code=sha256_bytes("".join(ingredients.code.values()).encode()),
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
