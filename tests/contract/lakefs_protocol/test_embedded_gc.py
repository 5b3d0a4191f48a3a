"""The server collects what nothing refers to when its operator asks, beside other work."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from typer.testing import CliRunner

from slipway.cli import app
from slipway.connections import LakeConnection
from slipway.embedded.lakefs_server import fsck
from slipway.embedded.local_settings import LocalSettings
from slipway.errors import ConfigurationError, LakeError, UnavailableError
from slipway.lake.collect import KEEP_SECONDS, collect
from slipway.stages import housekeeping
from tests.contract.lakefs_protocol.embedded_server import ACCESS_KEY, KEYS, SECRET_KEY, EmbeddedServer, start

OBJECTS = "/repositories/garbage/branches/main/objects"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    server = start(tmp_path)
    yield server
    server.kill()
    assert list(fsck.check(server.data, deep=True, progress=lambda *_: None)) == []


@pytest.fixture
def http(server: EmbeddedServer) -> Iterator[httpx.Client]:
    with server.http() as http:
        http.post("/repositories", json={"name": "garbage", "storage_namespace": "local://garbage"})
        yield http


def lake(server: EmbeddedServer, secret: str = SECRET_KEY) -> LakeConnection:
    return LakeConnection(server.endpoint, ACCESS_KEY, secret)


def object_files(server: EmbeddedServer) -> int:
    return len(list((server.data / "repositories" / "garbage" / "objects").glob("*/*")))


def test_overwritten_objects_go_when_they_are_old_and_the_rest_stays(
    server: EmbeddedServer, http: httpx.Client
) -> None:
    for content in (b"first", b"second"):
        http.post(OBJECTS, params={"path": "a"}, content=content)
    assert collect(lake(server), older_than_seconds=3600, dry_run=False)[0]["objects"] == 0
    would = collect(lake(server), older_than_seconds=0, dry_run=True)[0]
    assert (would["objects"], would["bytes"], object_files(server)) == (1, 5, 2)
    done = collect(lake(server), older_than_seconds=0, dry_run=False)[0]
    assert (done["objects"], done["bytes"], object_files(server)) == (1, 5, 1)
    assert http.get("/repositories/garbage/refs/main/objects", params={"path": "a"}).content == b"second"


def test_the_command_asks_the_local_lake(
    server: EmbeddedServer, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for content in (b"first", b"second"):
        http.post(OBJECTS, params={"path": "a"}, content=content)
    monkeypatch.setattr(LocalSettings, "load", lambda: SimpleNamespace(lake=lake(server)))
    command = ["lake", "gc", "--older-than", "0"]
    would = CliRunner().invoke(app, [*command, "--dry-run"])
    assert (would.exit_code, "would go" in would.output, object_files(server)) == (0, True, 2)
    assert CliRunner().invoke(app, command).exit_code == 0
    assert object_files(server) == 1
    server.kill()
    assert CliRunner().invoke(app, command).exit_code == 2


@pytest.mark.parametrize("keys", [("AKIAREADER", "reads"), ("AKIAWRITER", "writes")])
def test_readers_and_writers_of_one_branch_may_not_collect(server: EmbeddedServer, keys: tuple[str, str]) -> None:
    assert httpx.post(f"{server.endpoint}/slipway/v1/gc", json={}, auth=keys).status_code == 403


def test_only_the_operator_may_collect(server: EmbeddedServer, http: httpx.Client) -> None:
    with pytest.raises(LakeError, match="401"):
        collect(lake(server, "wrong"), older_than_seconds=0, dry_run=True)
    assert httpx.post(f"{server.endpoint}/slipway/v1/gc").status_code == 401


@pytest.mark.parametrize("body", [{"older_than_seconds": -1}, {"older_than_seconds": "NaN"}, {"dry_run": "perhaps"}, 7])
def test_a_bad_request_is_refused(server: EmbeddedServer, http: httpx.Client, body: object) -> None:
    assert httpx.post(f"{server.endpoint}/slipway/v1/gc", json=body, auth=KEYS).status_code == 400


def test_another_lakefs_and_a_stopped_one_are_told_apart(server: EmbeddedServer, http: httpx.Client) -> None:
    other = LakeConnection(f"{server.endpoint}/other", *KEYS)
    with pytest.raises(ConfigurationError, match="lakeFS collects with its own"):
        collect(other, older_than_seconds=0, dry_run=True)
    server.kill()
    with pytest.raises(UnavailableError, match="make up"):
        collect(lake(server), older_than_seconds=0, dry_run=True)


def test_writers_and_readers_go_on_meanwhile(server: EmbeddedServer, http: httpx.Client) -> None:
    for number in range(600):
        http.post(OBJECTS, params={"path": f"{number % 20}"}, content=b"%d" % number)
    slowest, done = 0.0, threading.Event()

    def collecting() -> None:
        collect(lake(server), older_than_seconds=0.5, dry_run=False)
        done.set()

    time.sleep(0.6)
    thread = threading.Thread(target=collecting)
    thread.start()
    while not done.is_set():
        answer = http.post(OBJECTS, params={"path": "meanwhile"}, content=b"x")
        assert answer.status_code == 201
        slowest = max(slowest, answer.elapsed.total_seconds())
    thread.join()
    assert object_files(server) == 21
    assert slowest < 2


def test_housekeeping_frees_what_is_old_and_leaves_lakefs_to_its_own_job(
    server: EmbeddedServer, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for content in (b"first", b"second"):
        http.post(OBJECTS, params={"path": "a"}, content=content)
    assert housekeeping.collect_unreferenced(lake(server)) == 0
    old = time.time() - 2 * KEEP_SECONDS
    for path in (server.data / "repositories" / "garbage" / "objects").glob("*/*"):
        os.utime(path, (old, old))
    assert housekeeping.collect_unreferenced(lake(server), dry_run=True) == 5 and object_files(server) == 2
    assert housekeeping.collect_unreferenced(lake(server)) == 5 and object_files(server) == 1
    elsewhere = LakeConnection(f"{server.endpoint}/api/v1/nowhere", ACCESS_KEY, SECRET_KEY)
    assert housekeeping.collect_unreferenced(elsewhere) == 0
