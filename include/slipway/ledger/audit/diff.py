"""What differs in the making of two versions, stage by stage."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from slipway.identity.explain import Difference, differences
from slipway.ledger.audit.answers import Making, Step

_DAY = re.compile(r"date=(\d{4}-\d{2}-\d{2})")


@dataclass(frozen=True)
class StageDiff:
    """What differs in one stage; nothing when all of it is empty."""

    stage: str
    """``train``, ``export``, ``compile <target>`` or ``register``."""
    only_in: str | None
    """The version that has this stage alone; ``None``: both."""
    differences: tuple[Difference, ...]
    """Of the ingredients, without the days of data and the stages before, which stand on their own."""
    follows: tuple[str, ...]
    """Stages before it whose fingerprint is another one."""
    same_outputs: bool


@dataclass(frozen=True)
class DataDiff:
    """Days of data that differ."""

    commits: tuple[str | None, str | None]
    """The ``repository@commit`` each training was pinned to."""
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    """In both, with other features."""


@dataclass(frozen=True)
class VersionsDiff:
    """What differs in the making of two versions of a model."""

    pipeline: str
    before: str
    after: str
    data: DataDiff
    stages: tuple[StageDiff, ...]
    """In the order of the line, those without a difference too."""
    metrics: Mapping[str, tuple[float | None, float | None]]
    """By name, of both."""

    @property
    def same(self) -> bool:
        """Whether nothing differs that decides anything."""
        data = self.data.added or self.data.removed or self.data.changed
        return not data and not any(one.only_in or one.differences or one.follows for one in self.stages)


def diff(before: Making, after: Making) -> VersionsDiff:
    """Compare how two versions of one model were made."""
    one = before.registered.statement
    return VersionsDiff(
        pipeline=one.pipeline,
        before=one.subject,
        after=after.registered.statement.subject,
        data=_data(before, after),
        stages=tuple(_stages(before, after)),
        metrics=_metrics(before.registered, after.registered),
    )


def diff_data(found: VersionsDiff) -> dict[str, Any]:
    """As JSON data: ``model``, ``before``, ``after``, ``same``, ``data``, ``stages``, ``metrics``.

    ``data`` has ``commits`` (of both), ``added``, ``removed`` and ``changed`` days; a stage ``stage``, ``only_in``,
    ``differences`` (``kind``, ``name``, ``before``, ``after``, ``text``), ``follows``, ``same_outputs``; a metric the
    values of both.
    """
    return {
        "model": found.pipeline,
        "before": found.before,
        "after": found.after,
        "same": found.same,
        "data": {
            "commits": list(found.data.commits),
            "added": list(found.data.added),
            "removed": list(found.data.removed),
            "changed": list(found.data.changed),
        },
        "stages": [
            {
                "stage": one.stage,
                "only_in": one.only_in,
                "differences": [_difference(each) for each in one.differences],
                "follows": list(one.follows),
                "same_outputs": one.same_outputs,
            }
            for one in found.stages
        ],
        "metrics": {name: list(values) for name, values in found.metrics.items()},
    }


def _difference(one: Difference) -> dict[str, Any]:
    return {"kind": one.kind, "name": one.name, "before": one.before, "after": one.after, "text": str(one)}


def _data(before: Making, after: Making) -> DataDiff:
    old, new = _days(before), _days(after)
    return DataDiff(
        commits=(_pinned(before), _pinned(after)),
        added=tuple(sorted(new.keys() - old.keys())),
        removed=tuple(sorted(old.keys() - new.keys())),
        changed=tuple(sorted(day for day in old.keys() & new.keys() if old[day] != new[day])),
    )


def _days(making: Making) -> dict[str, dict[str, str]]:
    """Day -> the features of it that the training read, by path; a file of no day stands for itself."""
    days: dict[str, dict[str, str]] = {}
    for path, sha in (making.trained.statement.materials if making.trained else {}).items():
        dated = _DAY.search(path)
        days.setdefault(dated[1] if dated else path, {})[path] = sha
    return days


def _pinned(making: Making) -> str | None:
    return (making.trained or making.registered).statement.commits.get("data")


def _stages(before: Making, after: Making) -> Iterator[StageDiff]:
    versions = before.registered.statement.subject, after.registered.statement.subject
    yield from _stage("train", before.trained, after.trained, versions)
    yield from _stage("export", before.exported, after.exported, versions)
    for target in sorted(before.compiled.keys() | after.compiled.keys()):
        yield from _stage(f"compile {target}", before.compiled.get(target), after.compiled.get(target), versions)
    yield from _stage("register", before.registered, after.registered, versions)


def _stage(name: str, before: Step | None, after: Step | None, versions: tuple[str, str]) -> Iterator[StageDiff]:
    if before is None or after is None:
        if before or after:
            yield StageDiff(name, versions[0] if before else versions[1], (), (), same_outputs=False)
        return
    found = differences(before.statement.ingredients, after.statement.ingredients)
    inputs = [one.name for one in found if one.kind == "input"]
    yield StageDiff(
        stage=name,
        only_in=None,
        differences=tuple(one for one in found if not _told_elsewhere(name, one)),
        follows=() if name == "train" else tuple(inputs),
        same_outputs=_contents(before) == _contents(after),
    )


def _told_elsewhere(stage: str, one: Difference) -> bool:
    """Inputs are days of data or stages before, which are told on their own; a registration sums those up."""
    return one.kind == "input" or (stage == "register" and one.name in ("version_of", "version"))


def _contents(step: Step) -> dict[str, str]:
    """Stable outputs by file name: folders are named by fingerprint or version."""
    one = step.statement
    depth = 2 if one.stage == "register" else 3
    return {name.split("/", depth)[-1]: sha for name, sha in one.outputs.items() if name not in one.varying}


def _metrics(before: Step, after: Step) -> dict[str, tuple[float | None, float | None]]:
    old, new = (dict(step.statement.details.get("metrics", {})) for step in (before, after))
    return {name: (old.get(name), new.get(name)) for name in sorted(old.keys() | new.keys())}
