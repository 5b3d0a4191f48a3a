"""``python -m slipway.device`` runs one agent; ``python -m slipway.device status --state DIR`` shows one."""

from __future__ import annotations

import argparse
import importlib
import logging
import random
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from slipway.device.agent import DeviceAgent, Pace
from slipway.device.assembly import DeviceConfig, build_agent, lock_state
from slipway.device.onnx_runtime import OnnxRuntime
from slipway.device.sensor import ReplaySensor, SensorFor, read_rows
from slipway.device.status import describe
from slipway.device.transport import Transport
from slipway.errors import ConfigurationError, SlipwayError

_log = logging.getLogger("slipway.device")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 when it ended well, 2 when it could not start."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        if words[:1] == ["status"]:
            return _status(words[1:])
        return _run(_arguments(words))
    except SlipwayError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def run_until_stopped(agent: DeviceAgent, poll_seconds: float, stop: threading.Event) -> None:
    """Step until ``stop`` is set; polls of a fleet spread by a random tenth."""
    while not stop.is_set():
        try:
            agent.step()
        except Exception:
            _log.exception("a step failed; the device goes on with the version it has")
        stop.wait(poll_seconds * random.uniform(0.9, 1.1))  # noqa: S311 - spreading load needs no secrecy


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m slipway.device", description=__doc__)
    parser.add_argument("--state", type=Path, required=True, help="this device's own folder")
    parser.add_argument("--gateway", required=True, help="the gateway's base URL")
    parser.add_argument("--pipeline", required=True)
    parser.add_argument("--device-id", required=True)
    parser.add_argument("--target", required=True, help="the kind of device, for example x86-cpu")
    parser.add_argument("--root", type=Path, required=True, help="the channel's root metadata, 1.root.json")
    parser.add_argument("--enrolment-token-file", type=Path, help="needed until the gateway knows this device")
    parser.add_argument("--sensor", help="replay:FILE.npz, or package.module:function, called with the version")
    parser.add_argument("--poll-seconds", type=float, default=10.0)
    parser.add_argument("--rows-per-step", type=int, default=50)
    parser.add_argument("--telemetry-seconds", type=float, default=30.0)
    return parser.parse_args(words)


def _run(arguments: argparse.Namespace) -> int:
    token_file: Path | None = arguments.enrolment_token_file
    config = DeviceConfig(
        state=arguments.state,
        gateway=arguments.gateway,
        pipeline=arguments.pipeline,
        device_id=arguments.device_id,
        target=arguments.target,
        root=_read(arguments.root, "root metadata"),
        enrolment_token=None if token_file is None else _read(token_file, "enrolment token").decode().strip(),
        pace=Pace(rows_per_step=arguments.rows_per_step, telemetry_seconds=arguments.telemetry_seconds),
    )
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    with lock_state(config.state):
        agent = build_agent(config, transport=Transport(), runtime=OnnxRuntime(), sensor_for=_sensor(arguments.sensor))
        _log.info("device %s follows %s at %s", config.device_id, config.pipeline, config.gateway)
        run_until_stopped(agent, arguments.poll_seconds, stop)
    return 0


def _status(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m slipway.device status")
    parser.add_argument("--state", type=Path, required=True)
    print(describe(parser.parse_args(words).state))
    return 0


def _sensor(given: str | None) -> SensorFor | None:
    if given is None:
        return None
    kind, _, rest = given.partition(":")
    if kind == "replay":
        recorded = ReplaySensor(read_rows(_read(Path(rest), "recorded rows")))
        return lambda _version: recorded
    try:
        made: SensorFor = getattr(importlib.import_module(kind), rest)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(
            f"expected --sensor replay:FILE.npz or package.module:function, got {given!r} ({error})"
        ) from error
    return made


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"expected the {what} in {path}, got: {error.strerror}; give its file") from error


if __name__ == "__main__":
    sys.exit(main())
