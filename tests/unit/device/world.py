"""One device with everything around it: a signed repository behind HTTP, a gateway, a sensor, a clock."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slipway.device.agent import DeviceAgent, Pace
from slipway.device.assembly import DeviceConfig, build_agent
from slipway.device.onnx_runtime import OnnxRuntime
from slipway.device.runtime import Runtime
from slipway.device.transport import Transport
from tests.simulators.gateway import TOKEN, GatewaySimulator
from tests.simulators.sensor import SensorSimulator
from tests.simulators.signed_repository import Server, SignedRepository
from tests.simulators.tiny_versions import TinyVersion, signed_paths, tiny_version


class Clock:
    """Time that moves when told to."""

    def __init__(self) -> None:
        self.now = 1_760_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class World:
    """Everything a device meets."""

    folder: Path
    repository: SignedRepository
    server: Server
    gateway: GatewaySimulator = field(default_factory=GatewaySimulator)
    sensor: SensorSimulator = field(default_factory=SensorSimulator)
    clock: Callable[[], float] = field(default_factory=Clock)
    _serials: Any = field(default_factory=lambda: itertools.count(1))

    def release(self, current: str | None, following: str | None = None, percent: int = 100, *made: Any) -> None:
        """Publish an order; ``made`` are pairs of version and TinyVersion to publish with it."""
        files = {path: file for version, tiny in made for path, file in signed_paths(version, tiny).items()}
        self.repository.publish(order(next(self._serials), current, following, percent), files)

    def add(self, version: str, tiny: TinyVersion | None = None, **changes: Any) -> TinyVersion:
        """Publish a version's files and an order to run it."""
        made = tiny or tiny_version(int(version), **changes)
        self.release(version, None, 100, (version, made))
        return made

    def device(self, *, runtime: Runtime | None = None, target: str = "x86-cpu", state: str = "device") -> DeviceAgent:
        """A device; the same ``state`` again is the same device restarted."""
        config = DeviceConfig(
            state=self.folder / state,
            gateway=self.server.url,
            pipeline="flight_delay",
            device_id=state,
            target=target,
            root=self.repository.root,
            enrolment_token=TOKEN,
            pace=Pace(rows_per_step=5, telemetry_seconds=0.0),
        )
        return build_agent(
            config,
            transport=Transport(timeout_seconds=2.0),
            runtime=runtime or OnnxRuntime(),
            sensor_for=lambda _version: self.sensor,
            gateway=self.gateway,
            clock=self.clock,
        )

    def updates(self) -> list[dict[str, Any]]:
        return self.gateway.events("update")


def order(serial: int, current: str | None, following: str | None = None, percent: int = 100) -> dict[str, Any]:
    """The content of a ``channel.json``."""
    return {
        "pipeline": "flight_delay",
        "release": f"flight_delay-v{following or current}",
        "serial": serial,
        "salt": "salt",
        "percent": percent,
        "current": current,
        "next": following,
    }
