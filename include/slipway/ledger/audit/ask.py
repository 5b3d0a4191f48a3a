"""Questions people ask of the past: what drove this device, what was made of this commit, how was this version made.

Pure functions over two sources, the ledger's records and the fleet's history, and frozen answers. A source that does
not answer leaves a gap in the answer, named in ``gaps``; only when nothing at all can be said it raises.
"""

from __future__ import annotations

import datetime as dt
import difflib
import re
from collections.abc import Callable, Collection, Sequence
from typing import Protocol, TypeVar

from slipway.errors import ConfigurationError, EvidenceError, ReleaseError, UnavailableError, UnrecordedError
from slipway.ledger.audit.answers import (
    Affected,
    CommitAnswer,
    DeviceAnswer,
    FoundCommit,
    Gap,
    Making,
    ModelAnswer,
    Reign,
    Released,
    Source,
    Step,
)
from slipway.release.evidence import Device
from slipway.release.fleet_history import FleetHistory, Ran

SHORTEST_PREFIX = 8
"""Characters of a commit that are enough to ask by."""
A = TypeVar("A")


class Records(Protocol):
    """What the ledger is asked. Raises UnavailableError when it does not answer."""

    def pipelines(self) -> tuple[str, ...]:
        """Those with statements."""
        ...

    def versions(self, pipeline: str) -> tuple[str, ...]:
        """Registered ones, oldest first."""
        ...

    def making(self, pipeline: str, version: str) -> Making | None:
        """``None`` without a statement of it; raises EvidenceError where one does not verify."""
        ...

    def releases(self, pipeline: str) -> tuple[Released, ...]:
        """Every release that ended, oldest first."""
        ...

    def reigns(self, pipeline: str, version: str | None = None) -> tuple[Reign, ...]:
        """When versions, or one of them, were champion, as completed releases say, oldest first."""
        ...

    def commits(self, prefix: str) -> tuple[FoundCommit, ...]:
        """The commits whose id begins so, a few at most."""
        ...

    def made_of(self, commit: str) -> tuple[Affected, ...]:
        """Every version that was made of a commit (in full), oldest first."""
        ...


class Fleet(FleetHistory, Protocol):
    """What the gateway is asked. Raises UnavailableError when it does not answer."""

    def devices(self, pipeline: str) -> tuple[Device, ...]:
        """Every enrolled device of the pipeline."""
        ...


def device(records: Records, fleet: Fleet, device_id: str, at: dt.datetime) -> DeviceAnswer:
    """What drove a device ``at`` a time (with a zone).

    Raises:
        UnknownDeviceError: the gateway never heard of it.
        UnavailableError: the gateway does not answer: it alone knows what a device ran.
    """
    ran = fleet.running(device_id, at.timestamp())
    if ran is None or ran.version is None:
        return DeviceAnswer(device_id, at, ran, None, None, None)
    gaps: list[Gap] = []
    enrolled = _ask(lambda: fleet.devices(ran.pipeline), "gateway", gaps) or ()
    target = next((one.target for one in enrolled if one.device_id == device_id), None)
    version = ran.version
    made = _ask(lambda: making(records, ran.pipeline, version), "ledger", gaps)
    release = next((step for step in (made.releases if made else ()) if released(step).release == ran.release), None)
    return DeviceAnswer(device_id, at, ran, target, made, release, tuple(gaps))


def model(records: Records, fleet: Fleet, pipeline: str, version: str) -> ModelAnswer:
    """How a version was made, when it was champion, and which devices ran it.

    Raises:
        UnrecordedError: the ledger has no statement of it.
        EvidenceError: a statement of its making does not verify.
        UnavailableError: the ledger does not answer.
    """
    made, gaps = making(records, pipeline, version), list[Gap]()
    reigns = records.reigns(pipeline, version)
    devices = _ask(lambda: fleet.devices_of(pipeline, [version]), "gateway", gaps)
    return ModelAnswer(pipeline, version, made, reigns, devices, tuple(gaps))


def commit(records: Records, fleet: Fleet, asked: str) -> CommitAnswer:
    """Everything that was made of a commit of the lake, whatever it was to what was made.

    Raises:
        ConfigurationError: shorter than eight characters, or several commits begin so.
        UnrecordedError: no statement names it.
        UnavailableError: the ledger does not answer.
    """
    found, gaps = _commit(records, asked), list[Gap]()
    versions = records.made_of(found.commit)
    devices = _ask(lambda: _devices_of(fleet, versions), "gateway", gaps)
    return CommitAnswer(found.commit, found.repository, found.roles, found.subjects, versions, devices, tuple(gaps))


def released(step: Step) -> Released:
    """A release's statement in short."""
    said = step.statement.ingredients.parameters
    return Released(str(said["version"]), str(said["release"]), str(said["outcome"]), step.statement.execution.finished)


def require_pipeline(records: Records, pipeline: str) -> None:
    """Raise UnrecordedError, naming near ones, for a model of which the ledger has nothing."""
    if pipeline not in (known := records.pipelines()):
        raise UnrecordedError(
            f"expected a model that the ledger has statements of, got {pipeline!r}; {near(pipeline, known)}"
        )


def near(asked: str, known: Collection[str]) -> str:
    """The known names that are like the one asked for, in words."""
    if not known:
        return "it has none yet"
    like = difflib.get_close_matches(asked, known, n=5, cutoff=0.4) or list(known)[-5:]
    return f"there {'is' if len(like) == 1 else 'are'} {', '.join(like)}{' …' if len(known) > len(like) else ''}"


def making(records: Records, pipeline: str, version: str) -> Making:
    """How a version was made; raises as ``model`` does."""
    if found := records.making(pipeline, version):
        return found
    require_pipeline(records, pipeline)
    raise UnrecordedError(
        f"the ledger has no statement of how version {version} of {pipeline} was made (it was registered before the "
        f"ledger was, or by hand); {near(version, records.versions(pipeline))}"
    )


def _commit(records: Records, asked: str) -> FoundCommit:
    asked = asked.rpartition("@")[2]  # Answers name a commit with its repository.
    if not re.fullmatch(rf"[0-9a-f]{{{SHORTEST_PREFIX},64}}", asked):
        raise ConfigurationError(
            f"expected a commit's id, or at least {SHORTEST_PREFIX} hexadecimal digits of it, got {asked!r}"
        )
    found = records.commits(asked)
    if not found:
        raise UnrecordedError(
            f"no statement in the ledger names a commit {asked!r}; ask by the id of a commit on main, of a run branch "
            "or of a model, as lakeFS shows it; commits of git are in what `slipway audit model` says of a version"
        )
    if len(found) > 1:
        raise ConfigurationError(
            f"expected one commit, but several begin with {asked}: {', '.join(one.commit for one in found)}; give more"
        )
    return found[0]


def _devices_of(fleet: Fleet, versions: Sequence[Affected]) -> tuple[Ran, ...]:
    by_pipeline: dict[str, list[str]] = {}
    for one in versions:
        by_pipeline.setdefault(one.pipeline, []).append(one.version)
    return tuple(ran for name, numbers in by_pipeline.items() for ran in fleet.devices_of(name, numbers))


def _ask(question: Callable[[], A], source: Source, gaps: list[Gap]) -> A | None:
    try:
        return question()
    except (UnavailableError, ReleaseError, EvidenceError) as error:
        gaps.append(Gap(source, str(error), not isinstance(error, EvidenceError)))
        return None
