"""Full and read-only disks, slow clients, dropped connections: clear answers, nothing half there, and it goes on."""

from __future__ import annotations

import os
import resource
import shutil
import socket
import subprocess
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from slipway.embedded.lakefs_server import fsck
from tests.contract.lakefs_protocol.embedded_server import KEYS, EmbeddedServer, launch, start

OBJECTS = "/repositories/faults/branches/main/objects"
READ = "/repositories/faults/refs/main/objects"
MEGABYTE = 2**20
AUTHORIZATION = "Basic " + b64encode(":".join(KEYS).encode()).decode()
needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("mount") is None, reason="mounting a small disk needs root"
)


@contextmanager
def serving(folder: Path, *options: str, prefix: Sequence[str] = ()) -> Iterator[tuple[EmbeddedServer, httpx.Client]]:
    """A server with the repository ``faults``; clean to fsck when it has stopped."""
    server = start(folder, options=options, prefix=prefix)
    try:
        with server.http() as http:
            http.post("/repositories", json={"name": "faults", "storage_namespace": "local://faults"})
            http.post(OBJECTS, params={"path": "before"}, content=b"before")
            http.post("/repositories/faults/branches/main/commits", json={"message": "before"})
            yield server, http
    finally:
        server.kill()
    assert list(fsck.check(server.data, deep=True, progress=lambda *_: None)) == []


def put(http: httpx.Client, path: str, content: bytes) -> httpx.Response:
    return http.post(OBJECTS, params={"path": path}, content=content)


def paths(http: httpx.Client) -> list[str]:
    return [one["path"] for one in http.get(f"{READ}/ls").json()["results"]]


def incoming(server: EmbeddedServer) -> list[Path]:
    return list((server.data / "repositories" / "faults" / "incoming").iterdir())


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A disk of its own for ``folder``; skips, saying so, where mounting is forbidden."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    made = subprocess.run(command, check=False, capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"mounting a small disk is forbidden here: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@needs_root
def test_a_full_disk_is_said_so_and_work_goes_on_when_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 24) as disk, serving(disk) as (server, http):
        refused = put(http, "large", os.urandom(40 * MEGABYTE))
        assert (refused.status_code, "disk is full" in refused.json()["message"]) == (507, True)
        assert incoming(server) == []
        ballast = disk / "ballast"
        fill(ballast)
        for number in range(400):  # until the database, too, wants pages that are not there
            tag = {"id": f"tag-{number}-" + "x" * 200, "ref": "main"}
            answer = http.post("/repositories/faults/tags", json=tag)
            if answer.status_code != 201:
                break
        assert answer.status_code in (503, 507)
        assert "disk" in answer.json()["message"]
        assert put(http, "small", b"x" * MEGABYTE).status_code == 507
        made = http.post("/repositories", json={"name": "other", "storage_namespace": "local://other"})
        assert made.status_code in (503, 507)
        assert http.get(READ, params={"path": "before"}).content == b"before"
        assert paths(http) == ["before"]
        ballast.unlink()
        assert put(http, "after", b"x" * MEGABYTE).status_code == 201
        body = {"name": "other", "storage_namespace": "local://other"}
        assert http.post("/repositories", json=body).status_code == 201
        commit = http.post("/repositories/faults/branches/main/commits", json={"message": "after"})
        assert (commit.status_code, paths(http), incoming(server)) == (201, ["after", "before"], [])


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            return


def test_a_limit_on_files_is_said_so_and_work_goes_on_without_it(tmp_path: Path) -> None:
    """As a full disk is, for those who may not mount one: every write beyond a file's first 64 KiB is refused."""
    with serving(tmp_path) as (server, http):
        unlimited = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (65536, unlimited[1]))
        refused = put(http, "large", os.urandom(5 * MEGABYTE))
        assert (refused.status_code, "disk is full" in refused.json()["message"]) == (507, True)
        assert incoming(server) == []
        answers = [http.post("/repositories/faults/tags", json={"id": f"t{n}", "ref": "main"}) for n in range(30)]
        refusals = [one for one in answers if one.status_code != 201]
        assert refusals, "the database never reached the limit"
        assert all("disk" in one.json()["message"] and one.status_code in (503, 507) for one in refusals)
        assert http.get(READ, params={"path": "before"}).content == b"before"
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, unlimited)
        tags = {one["id"] for one in http.get("/repositories/faults/tags").json()["results"]}
        assert tags == {f"t{n}" for n, one in enumerate(answers) if one.status_code == 201}
        assert put(http, "large", os.urandom(5 * MEGABYTE)).status_code == 201
        assert http.post("/repositories/faults/branches/main/commits", json={"message": "x"}).status_code == 201


@needs_root
def test_a_read_only_disk_is_refused_at_the_start_and_can_be_checked(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 24) as disk:
        with serving(disk):
            pass
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        server = launch(disk, stderr=subprocess.PIPE)
        _, said = server.process.communicate(timeout=30)
        assert (server.process.returncode, b"Read-only file system" in said, b"Traceback" in said) == (2, True, False)
        assert list(fsck.check(disk / "data", deep=True, progress=lambda *_: None)) == []
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        with serving(disk) as (_, http):
            assert paths(http) == ["before"]


def test_folders_that_cannot_be_written_are_said_so_while_reading_goes_on(tmp_path: Path) -> None:
    """What a disk that turned read-only does to uploads of a running server."""
    prefix = []
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root may write everywhere, and setpriv is not here to take that away")
        prefix = ["setpriv", "--bounding-set", "-dac_override"]
    with serving(tmp_path, prefix=prefix) as (server, http):
        folder = server.data / "repositories" / "faults" / "incoming"
        folder.chmod(0o500)
        try:
            refused = put(http, "a", b"x" * 3 * MEGABYTE)
            assert (refused.status_code, "cannot write" in refused.json()["message"]) == (503, True)
            assert http.get(READ, params={"path": "before"}).content == b"before"
        finally:
            folder.chmod(0o700)
        assert put(http, "a", b"x").status_code == 201


def upload_head(server: EmbeddedServer, path: str, size: int) -> socket.socket:
    """A connection that has sent the head of an upload."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    head = f"POST /api/v1{OBJECTS}?path={path} HTTP/1.1\r\nHost: x\r\nAuthorization: {AUTHORIZATION}\r\n"
    connection.sendall(f"{head}Content-Length: {size}\r\n\r\n".encode())
    return connection


@pytest.mark.parametrize("sent", [0, 10, 3 * MEGABYTE], ids=["nothing", "a-little", "much"])
def test_a_connection_dropped_mid_upload_leaves_nothing(tmp_path: Path, sent: int) -> None:
    with serving(tmp_path) as (server, http):
        connection = upload_head(server, "dropped", 8 * MEGABYTE)
        connection.sendall(b"x" * sent)
        assert eventually(lambda: len(incoming(server)) == 1)
        connection.close()
        assert eventually(lambda: incoming(server) == [])
        assert paths(http) == ["before"]
        assert put(http, "dropped", b"whole").status_code == 201


def test_a_connection_dropped_mid_chunk_leaves_nothing(tmp_path: Path) -> None:
    with serving(tmp_path) as (server, http):
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
        head = f"POST /api/v1{OBJECTS}?path=dropped HTTP/1.1\r\nHost: x\r\nAuthorization: {AUTHORIZATION}\r\n"
        connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n100\r\nonly some of it".encode())
        assert eventually(lambda: len(incoming(server)) == 1)
        connection.shutdown(socket.SHUT_WR)
        assert eventually(lambda: incoming(server) == [])
        assert paths(http) == ["before"]
        connection.close()


def test_a_client_that_stalls_is_told_so_and_leaves_nothing(tmp_path: Path) -> None:
    with serving(tmp_path, "--stall-seconds", "0.5") as (server, http):
        connection = upload_head(server, "stalled", 1000)
        connection.sendall(b"x" * 10)
        answer = connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert eventually(lambda: incoming(server) == [])
        assert paths(http) == ["before"]
        connection.close()


def test_a_slow_upload_arrives_whole_and_holds_nobody_up(tmp_path: Path) -> None:
    with serving(tmp_path, "--stall-seconds", "2") as (server, http):
        connection = upload_head(server, "slow", 30)
        done = threading.Event()

        def trickle() -> None:
            for _ in range(30):
                connection.sendall(b"x")
                time.sleep(0.05)
            done.set()

        thread = threading.Thread(target=trickle)
        thread.start()
        count = 0
        while not done.is_set():
            assert put(http, f"meanwhile/{count}", b"x").elapsed.total_seconds() < 1.5
            count += 1
        thread.join()
        assert connection.recv(65536).startswith(b"HTTP/1.1 201 ")
        connection.close()
        assert count > 3
        assert http.get(READ, params={"path": "slow"}).content == b"x" * 30


def test_a_slow_reader_holds_nobody_up(tmp_path: Path) -> None:
    with serving(tmp_path) as (server, http):
        assert put(http, "large", bytes(30 * MEGABYTE)).status_code == 201
        readers = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(50)]
        request = f"GET /api/v1{READ}?path=large HTTP/1.1\r\nHost: x\r\nAuthorization: {AUTHORIZATION}\r\n\r\n"
        for reader in readers:
            reader.sendall(request.encode())  # and never reads
        for number in range(10):
            assert put(http, f"meanwhile/{number}", b"x").elapsed.total_seconds() < 2
        assert http.post("/repositories/faults/branches/main/commits", json={"message": "x"}).status_code == 201
        for reader in readers:
            reader.close()
