"""A lakeFS-protocol server of this project in a subprocess, on a free port."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from slipway.connections import LakeConnection

STARTUP_SECONDS = 30


@contextmanager
def running_server(directory: Path) -> Iterator[LakeConnection]:
    """Start the server with its data under ``directory`` and stop it at the end."""
    port = _free_port()
    access, secret = "AKIA" + secrets.token_hex(8).upper(), secrets.token_urlsafe(30)
    credentials = directory / "credentials.json"
    credentials.touch(mode=0o600)
    credentials.write_text(json.dumps({"lakefs_access_key": access, "lakefs_secret_key": secret}))
    command = [sys.executable, "-m", "slipway.embedded.lakefs_server", "--data", str(directory / "data")]
    command += ["--port", str(port), "--host", "127.0.0.1", "--credentials", str(credentials)]
    log = directory / "server.log"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[3] / "include")}
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
    try:
        _await_health(f"http://127.0.0.1:{port}", process, log)
        yield LakeConnection(f"http://127.0.0.1:{port}", access, secret)
    finally:
        process.terminate()
        process.wait(timeout=20)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _await_health(endpoint: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + STARTUP_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            if httpx.get(f"{endpoint}/api/v1/healthcheck", timeout=1).status_code == 204:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise RuntimeError(f"the lakeFS server did not come up:\n{log.read_text()}")
