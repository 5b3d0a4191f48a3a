"""The answers to questions about the past, as frozen values; ``slipway.ledger.audit.ask`` gives them."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from slipway.ledger.statement import Statement
from slipway.release.fleet_history import Ran

Source = Literal["ledger", "gateway"]


@dataclass(frozen=True)
class Step:
    """A statement that an answer shows; its signature was verified."""

    number: int
    """The ledger's row."""
    statement: Statement
    disputed: bool


@dataclass(frozen=True)
class Partition:
    """The data of one day that a training read, as the ledger's rows say; ``slipway verify`` proves it."""

    day: str
    features: Mapping[str, str]
    """Path in the lake -> sha256."""
    raw: Mapping[str, str]
    """The same of the raw objects they were made of."""
    commits: Mapping[str, str]
    """Role (``raw``, ``main``) -> ``repository@commit``."""


@dataclass(frozen=True)
class Artifact:
    """What a device of one target runs."""

    target: str
    path: str
    """Of the version: ``targets/<target>/model.<kind>``."""
    sha256: str


class Released(NamedTuple):
    """How one release of a version ended."""

    version: str
    release: str
    outcome: str
    """``completed``: the version became champion then; ``rolled_back``: it never did."""
    ended: dt.datetime


@dataclass(frozen=True)
class Making:
    """How a version was made and what became of it."""

    registered: Step
    trained: Step | None
    exported: Step | None
    compiled: Mapping[str, Step]
    """By target."""
    partitions: tuple[Partition, ...]
    artifacts: tuple[Artifact, ...]
    releases: tuple[Step, ...]
    """Oldest first."""


@dataclass(frozen=True)
class Reign:
    """A version was champion ``since`` <= time < ``until``; ``None``: it still is."""

    version: str
    release: str
    since: dt.datetime
    until: dt.datetime | None


@dataclass(frozen=True)
class Gap:
    """What an answer lacks, and why."""

    source: Source
    reason: str
    down: bool
    """The source did not answer now; else it never knew, or what it has does not verify."""


@dataclass(frozen=True)
class DeviceAnswer:
    """What drove a device at a time."""

    device_id: str
    at: dt.datetime
    ran: Ran | None
    """``None``: nothing is known of that time."""
    target: str | None
    """Of the device as it is enrolled now; ``None``: it left the fleet, or the gateway does not say."""
    making: Making | None
    release: Step | None
    """That brought the version; ``None``: under way, or not recorded."""
    gaps: tuple[Gap, ...] = ()

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        """The one of the device's target; those of all targets where the target is not known."""
        made = self.making.artifacts if self.making else ()
        return tuple(one for one in made if self.target in (None, one.target))


@dataclass(frozen=True)
class ModelAnswer:
    """How a version was made, when it was champion, and where it ran."""

    pipeline: str
    version: str
    making: Making
    champion: tuple[Reign, ...]
    devices: tuple[Ran, ...] | None
    """Every time a device ran it; ``None``: the gateway does not say."""
    gaps: tuple[Gap, ...] = ()


class Affected(NamedTuple):
    """A version that was made of a commit. There may be 10,000 in an answer, so it is read where it is looked at."""

    pipeline: str
    version: str
    registered: dt.datetime
    files: str
    """Its artifacts as the ledger keeps them: JSON, path -> sha256."""
    releases: tuple[Released, ...]
    """Oldest first."""

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        return artifacts_of(json.loads(self.files))


@dataclass(frozen=True)
class CommitAnswer:
    """The recall list of a commit."""

    commit: str
    """In full."""
    repository: str
    roles: tuple[str, ...]
    """What it was to the statements that name it: ``raw``, ``main``, ``data``, ``model``."""
    subjects: tuple[str, ...]
    """What those were about (``ingest 2013-01-01``), a few of them."""
    versions: tuple[Affected, ...]
    """Oldest first."""
    devices: tuple[Ran, ...] | None
    """Every time a device ran one of them; ``None``: the gateway does not say."""
    gaps: tuple[Gap, ...] = ()

    @property
    def running(self) -> tuple[Ran, ...]:
        """Those that run one of them now, as far as is known."""
        return tuple(ran for ran in self.devices or () if ran.now)


@dataclass(frozen=True)
class FoundCommit:
    """A commit that statements name."""

    commit: str
    repository: str
    roles: tuple[str, ...]
    subjects: tuple[str, ...]


def artifacts_of(files: Mapping[str, str]) -> tuple[Artifact, ...]:
    """Path in the version -> sha256, as artifacts."""
    return tuple(Artifact(path.split("/", 2)[1], path, sha) for path, sha in files.items())
