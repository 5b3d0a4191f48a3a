"""An in-memory fleet that obeys a channel and reports about it, as an ``EvidenceSource``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from slipway.release.channel_state import ReleaseChannel
from slipway.release.evidence import Device, DeviceEvidence

HEALTHY = DeviceEvidence(
    device_id="",
    version="",
    outcome="installed",
    golden_agreement=1.0,
    inferences=100,
    errors=0,
    p95_ms=1.5,
    predictions=MappingProxyType({"late": 20, "on_time": 80}),
)
"""What a device says about a version that works, apart from who it is and which version."""


class FleetSimulator:
    """Devices with ids ``device-00``…; ``answers`` replaces what single devices say about a new version.

    ``silent`` devices are off. The others are last seen ``now``, or when what they follow was published.
    """

    def __init__(self, channel: ReleaseChannel, pipeline: str = "flight_delay", devices: int = 20) -> None:
        self.channel = channel
        self._pipeline = pipeline
        self.silent: set[str] = set()
        self.now: float | None = None
        self.answers: dict[str, DeviceEvidence] = {}
        self.answer = HEALTHY
        self._devices = {
            f"device-{number:02d}": Device(f"device-{number:02d}", "x86-cpu" if number % 2 else "x86-cpu-int8")
            for number in range(devices)
        }
        self._reports: dict[tuple[str, str], dict[str, DeviceEvidence]] = {}

    def devices(self, pipeline: str) -> tuple[Device, ...]:
        return tuple(self._devices.values()) if pipeline == self._pipeline else ()

    def evidence(self, pipeline: str, release: str, version: str) -> tuple[DeviceEvidence, ...]:
        reports = self._reports.get((release, version), {}) if pipeline == self._pipeline else {}
        return tuple(reports[device] for device in sorted(reports))

    def poll(self) -> None:
        """Every device that is not silent looks at the channel once, follows it and reports."""
        published = self.channel.publication(self._pipeline)
        if published is None:
            return
        state = published.state
        for device_id, device in self._devices.items():
            if device_id in self.silent:
                continue
            self._devices[device_id] = replace(device, last_seen=self.now or published.published_at)
            wanted = state.wanted(device_id)
            if wanted == device.version:
                continue
            said = self.answers.get(device_id, self.answer) if wanted == state.next else HEALTHY
            if said.outcome == "installed":
                self._devices[device_id] = replace(self._devices[device_id], version=wanted)
            if wanted is not None:
                reports = self._reports.setdefault((state.release, wanted), {})
                reports[device_id] = replace(said, device_id=device_id, version=wanted)

    def versions(self) -> Mapping[str | None, int]:
        """How many devices run each version."""
        running = [device.version for device in self._devices.values()]
        return {version: running.count(version) for version in set(running)}
