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
    class among the predictions of the evaluation (they sum to 1).
    """

    release: str
    version: str
    cohort: tuple[str, ...]
    reports: tuple[DeviceEvidence, ...]
    min_inferences: int
    expected_shares: Mapping[str, float]

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

    def waiting(self) -> str | None:
        """Which devices the update is still open on, in words; ``None`` when it ended on all."""
        undecided = self.undecided()
        if not undecided:
            return None
        failures = {report.device_id: report.reason for report in self.reports if report.outcome == "failed"}
        said = tuple(f"{device} (failed: {failures[device]})" if device in failures else device for device in undecided)
        return f"the update has not ended on {len(undecided)} of {len(self.cohort)} devices: {named(said)}"

    def missing(self) -> str | None:
        """What is still needed before the version's behaviour can be judged, in words; ``None`` when nothing is.

        A device that refused the version or gave it back runs no inference on it: the update gate judges it, the
        others do not wait for it.
        """
        if not self.cohort:
            return "no device is in the phase's cohort"
        if waiting := self.waiting():
            return waiting
        if not self.running:
            return f"none of {len(self.cohort)} devices runs version {self.version}"
        if silent := tuple(report.device_id for report in self.running if report.inferences == 0):
            return f"{len(silent)} devices run the version but reported no inference: {named(silent)}"
        if self.inferences < self.min_inferences:
            return f"{self.inferences} inferences were reported, at least {self.min_inferences} are needed"
        return None


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
