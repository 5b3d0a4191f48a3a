"""Train: pin the data, say what each pod shall do, and read what they made.

``plan_training`` decides everything before any work: the commit that is read, the days that are learned from and held
out, and for every pod its fingerprint, its arguments and where its result must lie. What follows only carries out.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from slipway.connections import Runtime
from slipway.identity.canonical import canonical_json
from slipway.identity.code import combined
from slipway.identity.digest import sha256_bytes
from slipway.identity.fingerprint import Ingredients
from slipway.lake.client import Lake
from slipway.lake.records import ObjectInfo
from slipway.lake.run_branch import train_branch
from slipway.lake.uri import LakeUri
from slipway.pipeline.spec import Pipeline
from slipway.pods.result import PodResult, read_result
from slipway.stages.partitions import choose_partitions, without_replays
from slipway.stages.works import TRAIN, Data, Work, ingredients_of, require_unchanged, subject_of, works_of

_DAY = re.compile(r"/date=(\d{4}-\d{2}-\d{2})/")


@dataclass(frozen=True)
class TrainingPlan:
    """Everything a training run will do, decided before it starts."""

    pipeline: str
    commit: str
    partitions: list[str]
    holdout: list[str]
    champion: str | None
    runtime: Runtime
    fingerprint: str
    """Over the fingerprints of all works: what a model version is found by."""
    branch: str
    code: str
    """Digest over the code of all works."""
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

    def ingredients(self, work: str) -> Ingredients:
        """What decides a pod's outputs."""
        return Ingredients.from_dict(self.works[work].ingredients)

    def subject(self, work: str) -> str:
        """What a pod's statement is about."""
        return subject_of(work, self.data)

    @property
    def data(self) -> Data:
        return Data(self.partitions, self.holdout, self.champion, self.works[TRAIN].ingredients["inputs"])


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
    read = {path: checksum for day in (*partitions, *holdout) for path, checksum in features[day]}
    plan = plan_works(pipeline, commit, Data(partitions, holdout, champion, read), root=root, runtime=runtime)
    lake.create_branch(pipeline.repository, plan.branch, commit)
    return plan


def plan_works(pipeline: Pipeline, commit: str, data: Data, *, root: Path, runtime: Runtime) -> TrainingPlan:
    """Everything a training on that data at that commit will do; asks nobody."""
    made_of = ingredients_of(pipeline, root, runtime, data)
    fingerprints = {name: one.fingerprint() for name, one in made_of.items()}
    fingerprint = sha256_bytes(canonical_json({"pipeline": pipeline.name, "works": fingerprints}))
    branch = train_branch(pipeline.name, fingerprint)
    return TrainingPlan(
        pipeline=pipeline.name,
        commit=commit,
        partitions=list(data.partitions),
        holdout=list(data.holdout),
        champion=data.champion,
        runtime=runtime,
        fingerprint=fingerprint,
        branch=branch,
        code=combined(dict(sorted({path: sha for one in made_of.values() for path, sha in one.code.items()}.items()))),
        targets=[target.name for target in pipeline.compile.targets],
        works=works_of(pipeline, commit, branch, made_of, data),
    )


def _by_day(objects: Sequence[ObjectInfo]) -> dict[str, list[tuple[str, str]]]:
    """Day -> (path, checksum) of its objects, days in order."""
    days: dict[str, list[tuple[str, str]]] = {}
    for item in objects:
        if match := _DAY.search(item.path):
            days.setdefault(match.group(1), []).append((item.path, item.checksum))
    return dict(sorted(days.items()))


def require_planned_code(plan: TrainingPlan, work: str, pipeline: Pipeline, root: Path) -> None:
    """Raise ``ConfigurationError`` when code, settings or manifests are no longer those the plan fingerprinted."""
    planned = plan.ingredients(work)
    now = ingredients_of(pipeline, root, plan.runtime, plan.data)[work]
    # Not the machine: those of one deployment may differ between tasks. Nor what other works' fingerprints say.
    require_unchanged(planned, replace(now, hardware=planned.hardware, inputs=planned.inputs))


def evaluation(lake: Lake, plan: TrainingPlan) -> Mapping[str, Any]:
    """What the training pod measured: metrics, baseline, champion, slices and its verdict.

    Raises:
        PodResultError: the training pod's result is missing or does not verify.
    """
    output = plan.output(TRAIN)
    read_result(lake, output, plan.works[TRAIN].fingerprint)
    value: Mapping[str, Any] = json.loads(lake.get(output / "evaluation.json"))
    return value


def results(lake: Lake, plan: TrainingPlan) -> dict[str, PodResult]:
    """Every pod's verified result by work name (``train``, ``export``, target names)."""
    return {name: read_result(lake, plan.output(name), work.fingerprint) for name, work in plan.works.items()}
