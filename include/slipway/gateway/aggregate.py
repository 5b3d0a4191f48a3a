"""Running totals per device, release and version: pure values that events are added to, in their order.

The gateway keeps these and not only the events, so that a verdict on a thousand devices reads a thousand rows however
long they have been running.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from slipway.gateway.wire import Event, InferenceEvent, StatusEvent, UpdateEvent

NO_RELEASE = ""

Key = tuple[str, str]
"""Release and version."""


@dataclass(frozen=True)
class Totals:
    """What one device reported about one version within one release.

    ``p95_weighted`` is the sum over batches of p95 (milliseconds) times answered inferences; divided by
    ``answered`` it is the mean p95. ``max_ms`` is the slowest single inference.
    """

    outcome: str | None = None
    reason: str | None = None
    golden_agreement: float | None = None
    inferences: int = 0
    errors: int = 0
    answered: int = 0
    p95_weighted: float = 0.0
    max_ms: float = 0.0
    predictions: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Running:
    """What a device runs, and the release that brought it."""

    version: str | None
    release: str
    target: str


@dataclass(frozen=True)
class Change:
    """What a batch changes: the device's line, and the totals it touched."""

    running: Running
    totals: Mapping[Key, Totals]


def add_events(running: Running, known: Mapping[Key, Totals], events: Iterable[Event]) -> Change:
    """Add a batch's events, oldest first, to a device's line and its ``known`` totals.

    An inference names no release: it belongs to the one that brought the version it ran on, which is the release the
    device is in, or for a late event the one whose totals are known (the last of several).
    """
    changed: dict[Key, Totals] = {}
    for event in events:
        if isinstance(event, UpdateEvent):
            running = _update(running, {**known, **changed}, changed, event)
        elif isinstance(event, InferenceEvent):
            key = _key_of(running, {**known, **changed}, event.version)
            changed[key] = _inference(changed.get(key) or known.get(key) or Totals(), event)
        elif isinstance(event, StatusEvent):
            running = replace(running, version=event.version, target=event.target)
    return Change(running, changed)


def versions_in(events: Iterable[Event]) -> frozenset[str]:
    """Every version the events speak of."""
    named = {event.version for event in events} | {event.previous for event in events if isinstance(event, UpdateEvent)}
    return frozenset(version for version in named if version is not None)


def _update(running: Running, known: Mapping[Key, Totals], changed: dict[Key, Totals], event: UpdateEvent) -> Running:
    release = event.release or NO_RELEASE
    if event.outcome == "rolled_back" and event.previous is not None:
        left = (release, event.previous)
        changed[left] = replace(known.get(left, Totals()), outcome="rolled_back", reason=event.reason)
    if event.version is not None:
        key = (release, event.version)
        changed[key] = replace(
            known.get(key, Totals()),
            outcome="installed" if event.moved else event.outcome,
            reason=event.reason,
            golden_agreement=event.golden_agreement,
        )
    return replace(running, version=event.runs, release=release) if event.moved else running


def _key_of(running: Running, known: Mapping[Key, Totals], version: str) -> Key:
    if running.version == version:
        return running.release, version
    releases = [release for release, of in known if of == version]
    return (releases[-1] if releases else NO_RELEASE), version


def _inference(totals: Totals, event: InferenceEvent) -> Totals:
    answered = event.count - event.errors
    predictions = dict(totals.predictions)
    for label, count in event.predictions.items():
        predictions[label] = predictions.get(label, 0) + count
    return replace(
        totals,
        inferences=totals.inferences + event.count,
        errors=totals.errors + event.errors,
        answered=totals.answered + answered,
        p95_weighted=totals.p95_weighted + event.latency_ms.p95 * answered,
        max_ms=max(totals.max_ms, event.latency_ms.max),
        predictions=predictions,
    )
