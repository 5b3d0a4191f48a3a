"""Real device processes and a real fleet against the real gateway, channel and model registry."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from slipway.connections import ChannelConnection, MlflowConnection
from slipway.registry.mlflow_registry import register
from slipway.registry.registration import Registration
from slipway.release.channel import Channel
from slipway.release.channel_state import ChannelState
from slipway.release.gateway_client import GatewayClient
from slipway.release.version_files import artifacts_of
from tests.simulators.tiny_versions import npz, tiny_version

ENROLMENT, OPERATOR = "enrolment-token-0123456789", "operator-token-0123456789"
PATIENCE = 120.0


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def until(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            if result := condition():
                return result
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"waited {PATIENCE:.0f} s for {what}")


def version_files(seed: int) -> dict[str, bytes]:
    """What the registry holds of a version built for both CPU targets."""
    made = [tiny_version(seed, target=target) for target in ("x86-cpu", "x86-cpu-int8")]
    rows = np.random.default_rng(seed).standard_normal((500, 4)).astype(np.float32)
    shares = {"prediction_shares": {"on_time": 0.5, "late": 0.5}}
    files = {"golden.npz": made[0].golden, "evaluation.json": json.dumps(shares).encode(), "provenance.json": b"{}"}
    files["replay.npz"] = npz({"input:x": rows})
    for version in made:
        folder = f"targets/{version.manifest['target']}"
        files[f"{folder}/model.onnx"] = version.model
        files[f"{folder}/manifest.json"] = json.dumps(version.manifest).encode()
    return files


class Site:
    """A gateway process with its channel, and the processes of devices."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.channel = Channel(ChannelConnection(self.url, str(folder / "tuf"), str(folder / "keys"), OPERATOR))
        self.channel.initialise()
        (folder / "root.json").write_bytes(self.channel.root())
        (folder / "token").write_text(ENROLMENT + "\n")
        (folder / "database").write_text(f"sqlite:///{folder}/gateway.sqlite")
        tokens = {"gateway_enrolment_token": ENROLMENT, "gateway_operator_token": OPERATOR}
        (folder / "secrets.json").write_text(json.dumps(tokens))
        self.processes: list[subprocess.Popen[bytes]] = []
        self.gateway = self.start_gateway()

    def start(self, module: str, arguments: list[str]) -> subprocess.Popen[bytes]:
        with (self.folder / f"{module}.log").open("ab") as log:
            command = [sys.executable, "-m", module, *arguments]
            process = subprocess.Popen(
                command, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": "include"}, start_new_session=True
            )
        self.processes.append(process)
        return process

    def start_gateway(self) -> subprocess.Popen[bytes]:
        self.gateway = self.start(
            "slipway.gateway",
            [
                *("--port", str(self.port), "--repository", str(self.folder / "tuf")),
                *("--database-url-file", str(self.folder / "database")),
                *("--secrets", str(self.folder / "secrets.json")),
            ],
        )
        until(lambda: httpx.get(f"{self.url}/healthz").status_code == 200, "the gateway")
        return self.gateway

    def start_device(self) -> subprocess.Popen[bytes]:
        rows = self.folder / "rows.npz"
        rows.write_bytes(version_files(1)["replay.npz"])
        return self.start(
            "slipway.device",
            [
                *("--state", str(self.folder / "car"), "--gateway", self.url, "--pipeline", "flight_delay"),
                *("--device-id", "car-1", "--target", "x86-cpu", "--root", str(self.folder / "root.json")),
                *("--enrolment-token-file", str(self.folder / "token"), "--sensor", f"replay:{rows}"),
                *("--poll-seconds", "0.2", "--telemetry-seconds", "0.2"),
            ],
        )

    def release(self, version: str, current: str | None, files: dict[str, bytes]) -> None:
        state = ChannelState(
            pipeline="flight_delay", release=f"r{version}", salt="s", percent=100, current=current, next=version
        )
        self.channel.publish(state, artifacts_of("flight_delay", version, files))

    def ask(self, path: str, **query: str) -> list[dict[str, Any]]:
        headers = {"Authorization": f"Bearer {OPERATOR}"}
        answer = httpx.get(f"{self.url}/v1/{path}", params={"pipeline": "flight_delay", **query}, headers=headers)
        devices: list[dict[str, Any]] = answer.raise_for_status().json()["devices"]
        return devices

    def count_on(self, version: str) -> int:
        return sum(device["version"] == version for device in self.ask("devices"))

    def inferences(self, version: str) -> int:
        return sum(row["inferences"] for row in self.ask("evidence", release=f"r{version}", version=version))

    def stop(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def mlflow(tmp_path: Path) -> Iterator[str]:
    port = free_port()
    arguments = [
        *("--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--serve-artifacts"),
        *("--backend-store-uri", f"sqlite:///{tmp_path}/mlflow.sqlite"),
        *("--artifacts-destination", str(tmp_path / "artifacts")),
    ]
    with (tmp_path / "mlflow.log").open("wb") as log:
        command = [sys.executable, "-m", "mlflow", "server", *arguments]
        server = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: httpx.get(f"{url}/health").status_code == 200, "MLflow")
        yield url
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def test_a_device_killed_with_9_goes_on_and_a_gateway_that_was_away_loses_nothing(site: Site) -> None:
    site.release("1", None, version_files(1))
    device = site.start_device()
    until(lambda: site.count_on("1") == 1 and site.inferences("1") > 100, "version 1 on the device")
    device.kill()
    device.wait()
    site.release("2", "1", version_files(2))
    device = site.start_device()
    until(lambda: site.count_on("2") == 1, "version 2 on the device")
    (evidence,) = site.ask("evidence", release="r2", version="2")
    assert (evidence["outcome"], evidence["golden_agreement"], evidence["errors"]) == ("installed", 1.0, 0)

    site.gateway.kill()
    site.gateway.wait()
    spool = site.folder / "car" / "spool"
    until(lambda: len(list(spool.glob("*.json"))) >= 3, "batches in the spool")
    assert device.poll() is None
    site.start_gateway()
    until(lambda: not list(spool.glob("*.json")), "an empty spool")
    assert len(site.ask("devices")) == 1

    site.channel.rollback("flight_delay", "r2", "a test")
    until(lambda: site.count_on("1") == 1, "the device back on version 1")
    device.terminate()
    assert device.wait(timeout=20) == 0
    log = (site.folder / "slipway.device.log").read_text()
    assert ENROLMENT not in log


def test_a_state_folder_serves_one_process_and_status_shows_it(site: Site) -> None:
    site.release("1", None, version_files(1))
    device = site.start_device()
    until(lambda: site.count_on("1") == 1, "version 1 on the device")
    assert site.start_device().wait(timeout=60) == 2
    assert "another agent uses" in (site.folder / "slipway.device.log").read_text()
    assert device.poll() is None
    shown = subprocess.run(
        [sys.executable, "-m", "slipway.device", "status", "--state", str(site.folder / "car")],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": "include"},
    ).stdout
    assert "car-1" in shown
    assert "runs:" in shown


def test_a_fleet_updates_all_its_devices_on_both_targets_and_reports_real_inferences(site: Site, mlflow: str) -> None:
    fleet = site.start(
        "slipway.embedded.fleet",
        [
            *("--state", str(site.folder / "fleet"), "--gateway", site.url, "--mlflow", mlflow),
            *("--secrets", str(site.folder / "secrets.json"), "--pipelines", "flight_delay,digit_reader"),
            *("--devices", "5", "--poll-seconds", "0.5", "--rows-per-step", "20"),
        ],
    )
    until(lambda: len(site.ask("devices")) == 5, "five enrolled devices")
    files = version_files(1)
    version = register(MlflowConnection(mlflow), Registration("flight_delay", "f" * 64, tiny_version(1).model, files))
    site.release(version, None, files)
    until(lambda: site.count_on(version) == 5, "five devices on the version")
    until(lambda: site.inferences(version) >= 500, "inferences")
    evidence = site.ask("evidence", release=f"r{version}", version=version)
    assert all(row["p95_ms"] > 0 and row["errors"] == 0 for row in evidence)
    ran = GatewayClient(ChannelConnection(site.url, "", "", OPERATOR)).devices_of("flight_delay", [version])
    assert [(one.device_id, one.release, one.now) for one in ran] == [
        (device["device_id"], f"r{version}", True) for device in site.ask("devices")
    ]
    targets = [device["target"] for device in site.ask("devices")]
    assert sorted(targets) == ["x86-cpu"] * 3 + ["x86-cpu-int8"] * 2
    assert (site.folder / "fleet" / "digit_reader" / "digit_reader-004" / "device_id").exists()
    fleet.terminate()
    assert fleet.wait(timeout=20) == 0
