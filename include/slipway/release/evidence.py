"""What a gate looks at: the reports of the devices that should run a version, as frozen values.

A gate is a pure function ``judge(evidence, policy) -> Verdict``. Evidence is cumulative over one release: a device
that joined in an early phase keeps counting in the later ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

Installed = Literal["installed", "refused", "failed", "rolled_back"]
"""How a device's last attempt to change to the version ended."""

Outcome = Literal["pass", "fail", "inconclusive", "error"]


@dataclass(frozen=True)
class Device:
    """An enrolled device. ``last_seen`` is Unix seconds of its last accepted telemetry, ``None`` before the first."""

    device_id: str
    target: str
    version: str | None = None
    last_seen: float | None = None


@dataclass(frozen=True)
class DeviceEvidence:
    """What one device reported about one version within one release.

    ``inferences`` counts attempts, ``errors`` those of them that failed. ``p95_ms`` is the mean of the p95 of its
    batches weighted by their size, milliseconds: batches carry no more than that.
    """

    device_id: str
    version: str
    outcome: Installed | None = None
    reason: str | None = None
    golden_agreement: float | None = None
    inferences: int = 0
    errors: int = 0
    p95_ms: float | None = None
    predictions: Mapping[str, int] = field(default_factory=dict)


class EvidenceSource(Protocol):
    """Where the release learns which devices there are and what they reported."""

    def devices(self, pipeline: str) -> tuple[Device, ...]:
        """Every enrolled device of the pipeline."""
        ...

    def evidence(self, pipeline: str, release: str, version: str) -> tuple[DeviceEvidence, ...]:
        """One entry per device that reported anything about that version within that release."""
        ...


@dataclass(frozen=True)
class Evidence:
    """Everything a gate may look at in one phase.

    ``cohort`` are the devices that should run the version now; ``reports`` what they said, at most one each.
    ``min_inferences`` is the pipeline's bound below which nothing passes. ``expected_shares`` are the shares of each
    class among the predictions of the evaluation (they sum to 1). ``silent`` are the devices the gateway has not heard
    of for so long that they are most likely off.
    """

    release: str
    version: str
    cohort: tuple[str, ...]
    reports: tuple[DeviceEvidence, ...]
    min_inferences: int
    expected_shares: Mapping[str, float]
    silent: frozenset[str] = frozenset()

    @property
    def decided(self) -> tuple[DeviceEvidence, ...]:
        """Reports of cohort devices whose update ended, well or not.

        ``failed`` is no end: the device could not do what it wanted to (a broken download, a full disk) and tries
        again. Whether it succeeds in time is for the end of the phase to say.
        """
        ended = ("installed", "refused", "rolled_back")
        members = set(self.cohort)
        return tuple(report for report in self.reports if report.device_id in members and report.outcome in ended)

    @property
    def running(self) -> tuple[DeviceEvidence, ...]:
        """Reports of cohort devices that installed the version and still have it."""
        return tuple(report for report in self.decided if report.outcome == "installed")

    @property
    def inferences(self) -> int:
        """Inferences on the version by devices that run it."""
        return sum(report.inferences for report in self.running)

    def undecided(self) -> tuple[str, ...]:
        """Cohort devices whose update did not end yet, as far as was reported."""
        decided = {report.device_id for report in self.decided}
        return tuple(device for device in self.cohort if device not in decided)

    def idle(self) -> tuple[str, ...]:
        """Devices that run the version but reported no inference on it yet."""
        return tuple(report.device_id for report in self.running if report.inferences == 0)

    def waiting(self) -> str | None:
        """Which devices the update is still open on, in words; ``None`` when it ended on all."""
        undecided = self.undecided()
        if not undecided:
            return None
        said = tuple(self._described(device) for device in undecided)
        return f"the update has not ended on {len(undecided)} of {len(self.cohort)} devices: {named(said)}"

    def awaited(self, min_reporting: float) -> str | None:
        """``waiting``, when one of those devices is to be waited for; see ``_excused``."""
        return self.waiting() if set(self.undecided()) - self._excused(min_reporting) else None

    def missing(self, min_reporting: float) -> str | None:
        """What is still needed before the version's behaviour can be judged, in words; ``None`` when nothing is.

        ``min_reporting`` is the share of the cohort, 0..1, without which nothing is judged. A device that refused the
        version or gave it back runs no inference on it: the update gate judges it, the others do not wait for it.
        """
        if not self.cohort:
            return "no device is in the phase's cohort"
        if awaited := self.awaited(min_reporting):
            return awaited
        if not self.running:
            return f"none of {len(self.cohort)} devices runs version {self.version}"
        if set(idle := self.idle()) - self._excused(min_reporting):
            said = tuple(self._described(device) for device in idle)
            return f"{len(idle)} devices run the version but reported no inference: {named(said)}"
        if self.inferences < self.min_inferences:
            return f"{self.inferences} inferences were reported, at least {self.min_inferences} are needed"
        return None

    def _excused(self, min_reporting: float) -> frozenset[str]:
        """Devices whose missing reports hold up no verdict on the others: off, or unable to update for now.

        Nobody is excused when fewer than ``min_reporting`` of the cohort would be left: a version that takes devices
        down must not pass for want of their reports. A device that is on and still busy is always waited for.
        """
        failing = {report.device_id for report in self.reports if report.outcome == "failed"}
        unlikely = {device for device in self.undecided() if device in self.silent or device in failing}
        unlikely |= self.silent & set(self.idle())
        few = bool(unlikely) and (len(self.cohort) - len(unlikely)) / len(self.cohort) >= min_reporting
        return frozenset(unlikely) if few else frozenset()

    def _described(self, device: str) -> str:
        failures = {report.device_id: report.reason for report in self.reports if report.outcome == "failed"}
        if device in failures:
            return f"{device} (failed: {failures[device]})"
        return f"{device} (silent)" if device in self.silent else device


@dataclass(frozen=True)
class Verdict:
    """What one gate concluded. ``observed`` is ``None`` when there was nothing to measure."""

    gate: str
    outcome: Outcome
    observed: float | None
    bound: float
    reason: str


def named(devices: tuple[str, ...], limit: int = 5) -> str:
    """The first few ids and how many more there are, for a message."""
    more = len(devices) - limit
    return ", ".join(devices[:limit]) + (f" and {more} more" if more > 0 else "")
