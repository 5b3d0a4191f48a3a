"""The suite drives a server through the official SDK.

By default a real embedded server is started as a subprocess. With LAKEFS_ENDPOINT and the SDK's own
LAKECTL_CREDENTIALS_ACCESS_KEY_ID and LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY set, the tests of the protocol run
against that server instead, for example a lakeFS; LAKEFS_STORAGE_NAMESPACE is where its repositories may store
(``local://`` if unset, ``s3://bucket/tests/`` for example).
"""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lakefs
import pytest
from lakefs.client import Client

from tests.contract.lakefs_protocol.embedded_server import EmbeddedServer, start


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
    storage = os.environ.get("LAKEFS_STORAGE_NAMESPACE", "local://")
    created = lakefs.Repository(name, client).create(f"{storage}{name}")
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
