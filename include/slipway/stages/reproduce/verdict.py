"""The verdict on a version that was made again: values, and what follows from them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Outcome = Literal["identical", "within tolerance", "diverged", "inconclusive", "skipped"]
"""``skipped``: nobody asked for it; ``inconclusive``: it was asked for, and could not be judged."""

STAGES = ("ingest", "features", "train", "export", "compile")
"""In the order in which one is made of another."""
_WORST: tuple[Outcome, ...] = ("diverged", "inconclusive", "within tolerance", "identical", "skipped")


@dataclass(frozen=True)
class Compared:
    """One output that is not bit for bit what was stated."""

    name: str
    stated: str
    """sha256."""
    stored: str | None
    """sha256 of what lies where it was kept; ``None``: nothing does."""
    made: str | None
    """sha256 of what was made now; ``None``: it was not made again."""
    facts: tuple[str, ...] = ()
    """What differs."""


@dataclass(frozen=True)
class Judged:
    """One statement's work, made again."""

    stage: str
    subject: str
    fingerprint: str
    outcome: Outcome
    outputs: int
    """How many were compared."""
    reason: str = ""
    differing: tuple[Compared, ...] = ()
    numbers: dict[str, float] = field(default_factory=dict)
    """What a tolerance was compared with."""
    environment: tuple[str, ...] = ()
    """What differs between the environment it was made in and this one."""
    seconds: float = 0.0


@dataclass(frozen=True)
class Scope:
    """What was asked for."""

    stages: tuple[str, ...] = STAGES
    partitions: int | None = None
    """Features of so many newest partitions are made again; ``None``: of all."""

    @property
    def whole(self) -> bool:
        return self.stages == STAGES and self.partitions is None


@dataclass(frozen=True)
class Verdict:
    """What a version turned out to be."""

    pipeline: str
    version: str
    outcome: Outcome
    stage: str | None
    """The first stage that diverged, or could not be judged."""
    subject: str | None
    reason: str
    scope: Scope
    judged: tuple[Judged, ...]
    started: dt.datetime
    finished: dt.datetime

    def of(self, stage: str) -> tuple[Judged, ...]:
        return tuple(one for one in self.judged if one.stage == stage)

    def document(self) -> dict[str, Any]:
        """The verdict as JSON data."""
        document: dict[str, Any] = asdict(self)
        times = {"started": self.started.isoformat(), "finished": self.finished.isoformat()}
        return document | times | {"whole": self.scope.whole}

    def brief(self) -> dict[str, Any]:
        """What the web interface shows: no outputs."""
        shown = ("pipeline", "version", "outcome", "stage", "subject", "reason")
        stages = {stage: worst(self.of(stage)) for stage in STAGES}
        return {**{name: getattr(self, name) for name in shown}, "whole": self.scope.whole, "stages": stages}


def worst(judged: Sequence[Judged]) -> Outcome:
    """The outcome of several; nothing was skipped where nothing is."""
    outcomes = {one.outcome for one in judged}
    return next((outcome for outcome in _WORST if outcome in outcomes), "skipped")


def conclude(
    pipeline: str,
    version: str,
    judged: Sequence[Judged],
    *,
    scope: Scope,
    started: dt.datetime,
    finished: dt.datetime,
) -> Verdict:
    """One verdict of all stages. The first that diverged is named; what could not be judged never passes."""
    order = sorted(judged, key=lambda one: (STAGES.index(one.stage), one.subject))
    outcome = worst(order)
    named = next((one for one in order if one.outcome == outcome), None)
    if outcome == "skipped":
        outcome = "inconclusive"
    telling = named is not None and outcome in ("diverged", "inconclusive")
    return Verdict(
        pipeline=pipeline,
        version=version,
        outcome=outcome,
        stage=named.stage if named and telling else None,
        subject=named.subject if named and telling else None,
        reason=_reason(outcome, named, order),
        scope=scope,
        judged=tuple(order),
        started=started,
        finished=finished,
    )


def _reason(outcome: Outcome, named: Judged | None, judged: Sequence[Judged]) -> str:
    if named is None:
        return "nothing was asked for"
    if outcome in ("diverged", "inconclusive"):
        return f"{named.stage} of {named.subject}: {named.reason or _first_fact(named)}"
    compared = [one for one in judged if one.outcome != "skipped"]
    count = sum(one.outputs for one in compared)
    if outcome == "identical":
        return f"{count} outputs of {len(compared)} statements are what was stated, bit for bit but for measured times"
    numbers = ", ".join(f"{name} {value:.3g}" for name, value in named.numbers.items())
    return f"{named.stage} of {named.subject}: {numbers}, within another environment: {'; '.join(named.environment)}"


def _first_fact(judged: Judged) -> str:
    for one in judged.differing:
        return f"{one.name}: {'; '.join(one.facts) or 'other bytes'}"
    return judged.outcome
