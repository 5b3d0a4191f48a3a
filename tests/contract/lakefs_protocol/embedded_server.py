"""The embedded server as a subprocess that can be killed and started again on the same data."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from lakefs.client import Client

ACCESS_KEY, SECRET_KEY = "AKIATESTKEY", "test-secret-key"
KEYS = (ACCESS_KEY, SECRET_KEY)
READER = {"id": "auditor", "access_key": "AKIAREADER", "secret_key": "reads", "role": "read"}
WRITER = {
    "id": "ingest", "access_key": "AKIAWRITER", "secret_key": "writes", "role": "write",
    "repository": "roles", "branch": "run",
}  # fmt: skip
SECOND_ADMIN = {"id": "root", "access_key": "AKIAROOT", "secret_key": "roots", "role": "admin"}
Users = Sequence[Mapping[str, str]]
USERS: Users = (READER, WRITER, SECOND_ADMIN)


@dataclass
class EmbeddedServer:
    """One server process; ``kill`` is SIGKILL."""

    data: Path
    credentials: Path
    port: int
    process: subprocess.Popen[bytes]

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def client(self) -> Client:
        return Client(host=self.endpoint, username=ACCESS_KEY, password=SECRET_KEY)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def http(self) -> httpx.Client:
        """Plain HTTP below ``/api/v1``."""
        return httpx.Client(base_url=f"{self.endpoint}/api/v1", auth=KEYS, timeout=60, trust_env=False)


def launch(
    folder: Path, users: Users = USERS, options: Sequence[str] = (), prefix: Sequence[str] = (), **process: Any
) -> EmbeddedServer:
    """Start a server on ``folder/data``, by way of the command ``prefix``; it does not answer yet."""
    folder.mkdir(parents=True, exist_ok=True)
    credentials = folder / "credentials.json"
    pair = {"lakefs_access_key": ACCESS_KEY, "lakefs_secret_key": SECRET_KEY}
    text = json.dumps({**pair, "users": list(users)})
    if not credentials.exists() or credentials.read_text() != text:
        credentials.touch(mode=0o600)
        credentials.write_text(text)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        *prefix,
        sys.executable,
        "-m",
        "slipway.embedded.lakefs_server",
        "--data",
        str(folder / "data"),
        *options,
    ]
    command += ["--port", str(port), "--credentials", str(credentials)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "include")}
    started = subprocess.Popen(command, env=environment, **process)
    return EmbeddedServer(folder / "data", credentials, port, started)


def start(
    folder: Path, users: Users = USERS, options: Sequence[str] = (), prefix: Sequence[str] = ()
) -> EmbeddedServer:
    """Start a server and wait until it answers."""
    server = launch(folder, users, options, prefix)
    deadline = time.monotonic() + 30
    while True:
        try:
            if httpx.get(f"{server.endpoint}/api/v1/healthcheck").status_code == 204:
                return server
        except httpx.TransportError:
            pass
        assert server.process.poll() is None, "the server ended at once"
        assert time.monotonic() < deadline, "the server did not answer in 30 s"
        time.sleep(0.02)
