"""Put one agent together from a state folder and a gateway."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from slipway.device.agent import DeviceAgent, Pace
from slipway.device.announcement import Announcement
from slipway.device.channel import TufChannel
from slipway.device.compatibility import this_hardware
from slipway.device.enrolment import Enroller
from slipway.device.gateway import Enrolment, Gateway, HttpGateway
from slipway.device.identity import load_or_create_identity
from slipway.device.installation import Installation
from slipway.device.refusals import Refusals
from slipway.device.runtime import Runtime
from slipway.device.sensor import SensorFor
from slipway.device.telemetry import Spool, Telemetry
from slipway.device.transport import Transport
from slipway.device.update import VersionSwitch
from slipway.errors import ConfigurationError


@dataclass(frozen=True)
class DeviceConfig:
    """One device: its folder, its gateway's base URL, and the root metadata it was provisioned with."""

    state: Path
    gateway: str
    pipeline: str
    device_id: str
    target: str
    root: bytes = field(repr=False)
    enrolment_token: str | None = field(default=None, repr=False)
    pace: Pace = field(default_factory=Pace)


def build_agent(
    config: DeviceConfig,
    *,
    transport: Transport,
    runtime: Runtime,
    sensor_for: SensorFor | None,
    gateway: Gateway | None = None,
    clock: Callable[[], float] = time.time,
) -> DeviceAgent:
    """The agent of one device; ``gateway`` replaces the one over HTTP at the configured URL.

    Raises:
        ConfigurationError, DeviceError: the id is not valid or the state folder not usable.
    """
    identity = load_or_create_identity(config.state, config.device_id)
    hardware = this_hardware(config.target, runtime.name, runtime.version)
    channel = TufChannel(
        gateway=config.gateway,
        pipeline=config.pipeline,
        state=config.state / "channel",
        root=config.root,
        transport=transport,
        clock=clock,
    )
    gateway = gateway or HttpGateway(config.gateway, transport)
    enrolment = Enrolment(
        identity.device_id, identity.public_key, config.target, hardware.architecture, config.pipeline
    )
    return DeviceAgent(
        identity=identity,
        target=config.target,
        channel=channel,
        switch=VersionSwitch(config.pipeline, channel, Installation(config.state), runtime, hardware),
        telemetry=Telemetry(identity, gateway, Spool(config.state / "spool", clock=clock)),
        enroller=Enroller(gateway, enrolment, config.enrolment_token, clock),
        refusals=Refusals(config.state / "refusals.json", clock),
        announcement=Announcement(config.state / "announced.json"),
        sensor_for=sensor_for,
        pace=config.pace,
        clock=clock,
    )


def lock_state(state: Path) -> IO[bytes]:
    """Hold ``state`` for this process until the returned file is closed or the process ends.

    Raises:
        ConfigurationError: another process holds it.
    """
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = (state / "lock").open("wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise ConfigurationError(f"another agent uses {state}; stop it or give this one its own folder") from error
    return file
