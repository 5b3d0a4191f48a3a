"""The suite drives a server through the official SDK.

By default a real embedded server is started as a subprocess. With LAKEFS_ENDPOINT and the SDK's own
LAKECTL_CREDENTIALS_ACCESS_KEY_ID and LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY set, the tests of the protocol run
against that server instead, for example a lakeFS.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import lakefs
import pytest
from lakefs.client import Client

ACCESS_KEY, SECRET_KEY = "AKIATESTKEY", "test-secret-key"
READER = {"id": "auditor", "access_key": "AKIAREADER", "secret_key": "reads", "role": "read"}
WRITER = {
    "id": "ingest", "access_key": "AKIAWRITER", "secret_key": "writes", "role": "write",
    "repository": "roles", "branch": "run",
}  # fmt: skip
SECOND_ADMIN = {"id": "root", "access_key": "AKIAROOT", "secret_key": "roots", "role": "admin"}


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


def start(
    folder: Path, users: Sequence[Mapping[str, str]] = (READER, WRITER, SECOND_ADMIN), options: Sequence[str] = ()
) -> EmbeddedServer:
    folder.mkdir(parents=True, exist_ok=True)
    credentials = folder / "credentials.json"
    pair = {"lakefs_access_key": ACCESS_KEY, "lakefs_secret_key": SECRET_KEY}
    credentials.write_text(json.dumps({**pair, "users": list(users)}))
    credentials.chmod(0o600)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "slipway.embedded.lakefs_server", "--data", str(folder / "data")]
    command += ["--port", str(port), "--credentials", str(credentials), *options]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "include")}
    server = EmbeddedServer(folder / "data", credentials, port, subprocess.Popen(command, env=environment))
    deadline = time.monotonic() + 30
    while True:
        try:
            if httpx.get(f"{server.endpoint}/api/v1/healthcheck").status_code == 204:
                return server
        except httpx.TransportError:
            pass
        assert server.process.poll() is None, "the server ended at once"
        assert time.monotonic() < deadline, "the server did not answer in 30 s"
        time.sleep(0.05)


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    server = start(tmp_path_factory.mktemp("lakefs"))
    yield server
    server.process.terminate()
    assert server.process.wait(20) in (0, -signal.SIGTERM)


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., EmbeddedServer]]:
    """Start servers, one after the other, on the same data."""
    started: list[EmbeddedServer] = []

    def starter(**given: Any) -> EmbeddedServer:
        started.append(start(tmp_path / "own", **given))
        return started[-1]

    yield starter
    for server in started:
        server.kill()


@pytest.fixture(scope="session")
def client(request: pytest.FixtureRequest) -> Client:
    endpoint = os.environ.get("LAKEFS_ENDPOINT")
    if endpoint:
        return Client(
            host=endpoint,
            username=os.environ["LAKECTL_CREDENTIALS_ACCESS_KEY_ID"],
            password=os.environ["LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY"],
        )
    return request.getfixturevalue("embedded").client


@pytest.fixture
def repository(client: Client) -> Iterator[lakefs.Repository]:
    name = f"repo-{uuid.uuid4().hex[:12]}"
    created = lakefs.Repository(name, client).create(f"local://{name}")
    yield created
    created.delete(force=True)


@pytest.fixture
def main(repository: lakefs.Repository) -> lakefs.Branch:
    """The default branch with ``kept``, ``changed`` and ``removed`` committed."""
    branch = repository.branch("main")
    for name in ("kept", "changed", "removed"):
        branch.object(name).upload(name.encode(), pre_sign=False)
    branch.commit("three objects")
    return branch
