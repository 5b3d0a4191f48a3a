"""The agent: follow the channel, run the model, report. Whatever goes wrong, the device keeps the version it has."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from slipway.device.announcement import Announcement
from slipway.device.channel import Channel
from slipway.device.enrolment import Enroller
from slipway.device.events import InferenceTally, Outcome, status_event, update_event
from slipway.device.identity import DeviceIdentity
from slipway.device.inference import infer
from slipway.device.order import ChannelOrder
from slipway.device.refusals import Refusals, is_refusal
from slipway.device.sensor import Sensor, SensorFor
from slipway.device.telemetry import Telemetry
from slipway.device.update import Running, VersionSwitch
from slipway.errors import SlipwayError, UnavailableError

_log = logging.getLogger(__name__)
NO_VERSION = "none"
"""Stands for a version in update events where there is none: told to run nothing, or the channel is unreadable."""
NO_RELEASE = None
"""The release of what cannot be blamed on one: metadata that does not verify, or an order that cannot be read."""


@dataclass(frozen=True)
class Pace:
    """How much a step does and how often a device speaks; seconds and rows."""

    rows_per_step: int = 50
    telemetry_seconds: float = 4.0
    status_seconds: float = 30.0


@dataclass(frozen=True)
class StepReport:
    """What one step did; ``trouble`` is the first error of the step in words."""

    version: str | None
    outcome: Outcome | None
    inferences: int
    trouble: str | None


class DeviceAgent:
    """One device. Call ``step`` again and again, from one thread at a time; it raises no SlipwayError.

    Args:
        identity: who it is.
        target: the kind of device.
        channel: orders.
        switch: applies them.
        telemetry: reports.
        enroller: makes the device known to its gateway.
        refusals: remembers what was refused.
        announcement: remembers which change was reported.
        sensor_for: the inputs for a version; ``None`` for a device without a sensor.
        pace: how much and how often.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        *,
        identity: DeviceIdentity,
        target: str,
        channel: Channel,
        switch: VersionSwitch,
        telemetry: Telemetry,
        enroller: Enroller,
        refusals: Refusals,
        announcement: Announcement,
        sensor_for: SensorFor | None,
        pace: Pace | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._identity = identity
        self._target = target
        self._channel = channel
        self._switch = switch
        self._telemetry = telemetry
        self._enroller = enroller
        self._refusals = refusals
        self._announcement = announcement
        self._to_announce: tuple[str, str | None] | None = None
        self._sensor_for = sensor_for
        self._pace = pace or Pace()
        self._clock = clock
        self._running: Running | None = None
        self._sensor: Sensor | None = None
        self._resumed = False
        self._tallies: dict[str, InferenceTally] = {}
        self._sealed_at = self._status_at = float("-inf")
        self._urgent = False
        self._outcome: Outcome | None = None
        self._trouble: str | None = None

    @property
    def version(self) -> str | None:
        """The version this device runs now."""
        return None if self._running is None else self._running.version

    def step(self) -> StepReport:
        """Poll, follow, infer, report."""
        self._outcome = self._trouble = None
        if not self._resumed:
            self._run(self._switch.resume())
            self._resumed = True
        self._follow()
        inferences = self._infer()
        self._report()
        return StepReport(self.version, self._outcome, inferences, self._trouble)

    def _follow(self) -> None:
        try:
            order = self._channel.poll()
        except SlipwayError as error:
            self._note(error)
            # Silence of the gateway is not news to report to the gateway; bad metadata is.
            if not isinstance(error, UnavailableError):
                self._report_failure(NO_RELEASE, NO_VERSION, error)
            return
        self._refusals.healed(NO_RELEASE)
        if order is None:
            return
        wanted = order.wanted_by(self._identity.device_id)
        if wanted != self.version or self._announcement.owed(order, wanted):
            self._change(order, wanted)

    def _change(self, order: ChannelOrder, wanted: str | None) -> None:
        attempt = f"{order.release}/{order.serial}/{wanted}"
        if not self._refusals.may_try(attempt):
            return
        # After a kill between a switch and its report the version before is the one reported last.
        before = self.version if self.version != wanted else self._announcement.version
        back = before is not None and before != wanted and self._switch.goes_back(wanted, before)
        try:
            agreement = self._apply(wanted)
        except SlipwayError as error:
            self._note(error)
            self._refusals.record(attempt, error)
            self._report_failure(order.release, wanted or NO_VERSION, error)
            return
        self._report_change(order.release, wanted, before, back, agreement)

    def _apply(self, wanted: str | None) -> float | None:
        if wanted is None:
            self._switch.stop()
            self._run(None)
            return None
        running, agreement = self._switch.bring(wanted)
        self._run(running)
        return agreement

    def _report_change(
        self, release: str, wanted: str | None, before: str | None, back: bool, agreement: float | None
    ) -> None:
        self._outcome = "rolled_back" if back else "installed"
        _log.info("%s: %s version %s (was %s)", self._identity.device_id, self._outcome, wanted, before)
        event = update_event(
            version=wanted or NO_VERSION,
            previous=before,
            outcome=self._outcome,
            release=release,
            golden_agreement=agreement,
        )
        self._telemetry.add(event)
        self._urgent = True
        self._to_announce = (release, wanted)

    def _run(self, running: Running | None) -> None:
        self._running = running
        self._sensor = None if running is None or self._sensor_for is None else self._sensor_for(running.version)

    def _report_failure(self, release: str | None, version: str, error: SlipwayError) -> None:
        self._outcome = "refused" if is_refusal(error) else "failed"
        reason = f"{type(error).__name__}: {error}"
        if not self._refusals.first_report(release, version, reason):
            return
        _log.warning("%s: %s version %s: %s", self._identity.device_id, self._outcome, version, reason)
        self._telemetry.add(
            update_event(version=version, previous=self.version, outcome=self._outcome, release=release, reason=reason)
        )
        self._urgent = True

    def _infer(self) -> int:
        if self._running is None or self._sensor is None:
            return 0
        try:
            rows = self._sensor.read(self._pace.rows_per_step)
        except SlipwayError as error:
            self._note(error)
            return 0
        version = self._running.version
        tally = self._tallies.setdefault(version, InferenceTally(version))
        return infer(self._running.session, rows, self._running.installed.manifest.classes, tally)

    def _report(self) -> None:
        now = self._clock()
        if self._urgent or now - self._sealed_at >= self._pace.telemetry_seconds:
            self._seal(now)
        try:
            if self._enroller.ready() and not self._telemetry.post():
                self._enroller.forgotten()
        except SlipwayError as error:
            self._note(error)

    def _seal(self, now: float) -> None:
        for tally in self._tallies.values():
            if tally.count:
                self._telemetry.add(tally.event())
        self._tallies = {}
        if self._urgent or now - self._status_at >= self._pace.status_seconds:
            self._telemetry.add(status_event(self.version, self._target))
            self._status_at = now
        self._telemetry.seal()
        if self._to_announce is not None:
            self._announcement.remember(*self._to_announce)
            self._to_announce = None
        self._sealed_at = now
        self._urgent = False

    def _note(self, error: SlipwayError) -> None:
        if self._trouble is None:
            self._trouble = f"{type(error).__name__}: {error}"
            _log.debug("%s: %s", self._identity.device_id, self._trouble)
