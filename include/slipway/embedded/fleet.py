"""A simulated fleet: real device agents, many in one process, each with its own identity and state folder.

Only what surrounds the agents is simulated: their sensors replay recorded rows. Each pipeline has its own devices,
three of every five on the target ``x86-cpu`` and two on ``x86-cpu-int8``.
"""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from slipway.device.agent import DeviceAgent, Pace
from slipway.device.assembly import DeviceConfig, build_agent, lock_state
from slipway.device.durable import write_durably
from slipway.device.onnx_runtime import OnnxRuntime
from slipway.device.transport import Transport
from slipway.embedded.fleet_replay import RegistryReplays, ReplayedSensor
from slipway.embedded.fleet_rounds import Rounds
from slipway.errors import ConfigurationError, SlipwayError, UnavailableError

_log = logging.getLogger("slipway.fleet")
TARGETS = ("x86-cpu", "x86-cpu-int8", "x86-cpu", "x86-cpu-int8", "x86-cpu")
_RETRY_SECONDS = 2.0
_ROWS_APART = 97


@dataclass(frozen=True)
class FleetConfig:
    """``devices`` per pipeline; ``poll_seconds`` between two steps of a device; URLs without a trailing slash."""

    state: Path
    gateway: str
    mlflow: str
    pipelines: tuple[str, ...]
    devices: int
    poll_seconds: float
    rows_per_step: int
    workers: int
    enrolment_token: str = field(repr=False)
    mlflow_login: str | None = field(default=None, repr=False)
    """``name:password``"""


def build_fleet(config: FleetConfig, root: bytes, transport: Transport) -> list[DeviceAgent]:
    """Every agent of the fleet; all share one runtime, one connection pool and the recorded rows."""
    replays = RegistryReplays(config.mlflow, transport, login=config.mlflow_login)
    runtime = OnnxRuntime()
    pace = Pace(rows_per_step=config.rows_per_step)
    agents = []
    for pipeline in config.pipelines:
        for number in range(config.devices):
            device_id = f"{pipeline}-{number:03d}"
            device = DeviceConfig(
                state=config.state / pipeline / device_id,
                gateway=config.gateway,
                pipeline=pipeline,
                device_id=device_id,
                target=TARGETS[number % len(TARGETS)],
                root=root,
                enrolment_token=config.enrolment_token,
                pace=pace,
            )
            sensor_for = _SensorFor(replays, pipeline, number * _ROWS_APART)
            agents.append(build_agent(device, transport=transport, runtime=runtime, sensor_for=sensor_for))
    return agents


def provision(config: FleetConfig, transport: Transport, stop: threading.Event) -> bytes | None:
    """The root metadata this fleet trusts: asked of the gateway once, then pinned in the state folder.

    Waits for the gateway; ``None`` if ``stop`` is set before it answers.
    """
    pinned = config.state / "root.json"
    while not pinned.exists():
        try:
            status, root = transport.get(f"{config.gateway}/tuf/metadata/1.root.json")
            if status == 200:
                write_durably(pinned, root)
                break
            _log.info("the gateway has no channel yet (%d); asking again", status)
        except UnavailableError as error:
            _log.info("%s; asking again", error)
        if stop.wait(_RETRY_SECONDS):
            return None
    return pinned.read_bytes()


def run(config: FleetConfig, stop: threading.Event) -> None:
    """Step every device until ``stop`` is set."""
    with ExitStack() as held:
        held.enter_context(lock_state(config.state))
        transport = Transport(connections=config.workers + 1)
        root = provision(config, transport, stop)
        if root is None:
            return
        agents = build_fleet(config, root, transport)
        _log.info("%d devices of %s follow %s", len(agents), ", ".join(config.pipelines), config.gateway)
        Rounds([agent.step for agent in agents], config.poll_seconds, config.workers).run(stop)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 when stopped, 2 when it could not start."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    try:
        run(_config(arguments), stop)
    except SlipwayError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


@dataclass(frozen=True)
class _SensorFor:
    """Makes one device's sensor for whichever version it runs."""

    replays: RegistryReplays
    pipeline: str
    start: int

    def __call__(self, version: str) -> ReplayedSensor:
        return ReplayedSensor(self.replays, self.pipeline, version, self.start)


def _config(arguments: Sequence[str] | None) -> FleetConfig:
    parser = argparse.ArgumentParser(prog="python -m slipway.embedded.fleet", description=__doc__)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--gateway", required=True, help="the gateway's base URL")
    parser.add_argument("--mlflow", required=True, help="the MLflow server's base URL")
    secrets_help = "JSON: gateway_enrolment_token, mlflow_login, mlflow_password"
    parser.add_argument("--secrets", type=Path, required=True, help=secrets_help)
    parser.add_argument("--pipelines", required=True, help="names with commas between")
    parser.add_argument("--devices", type=int, default=20, help="devices per pipeline")
    parser.add_argument("--poll-seconds", type=float, default=2.0)
    parser.add_argument("--rows-per-step", type=int, default=50)
    parser.add_argument("--workers", type=int, default=2, help="threads")
    given = parser.parse_args(arguments)
    secrets = _secrets(given.secrets)
    login = secrets.get("mlflow_login")
    return FleetConfig(
        state=given.state,
        gateway=given.gateway.rstrip("/"),
        mlflow=given.mlflow.rstrip("/"),
        pipelines=tuple(name.strip() for name in given.pipelines.split(",") if name.strip()),
        devices=given.devices,
        poll_seconds=given.poll_seconds,
        rows_per_step=given.rows_per_step,
        workers=given.workers,
        enrolment_token=secrets["gateway_enrolment_token"],
        mlflow_login=f"{login}:{secrets['mlflow_password']}" if login else None,
    )


def _secrets(path: Path) -> dict[str, str]:
    try:
        found = {name: str(value) for name, value in json.loads(path.read_bytes()).items()}
    except (OSError, ValueError, AttributeError) as error:
        kind = type(error).__name__
        raise ConfigurationError(
            f"expected a JSON object with gateway_enrolment_token in {path}, could not read it: {kind}"
        ) from error
    if "gateway_enrolment_token" not in found or ("mlflow_login" in found) != ("mlflow_password" in found):
        raise ConfigurationError(
            f"expected 'gateway_enrolment_token' in {path}, and both or none of 'mlflow_login' and 'mlflow_password', "
            f"got {sorted(found)}; start the stack with make up"
        )
    return found


if __name__ == "__main__":
    sys.exit(main())
