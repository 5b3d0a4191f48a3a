"""What was acknowledged is there after SIGKILL, and parallel clients all succeed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import lakefs
import pytest


def publish(client: lakefs.Client, repository: str, number: int) -> None:
    branch = lakefs.Branch(repository, f"run-{number}", client).create("main")
    for part in range(3):
        branch.object(f"raw/part={number}/{part}").upload(f"{number}-{part}".encode(), pre_sign=part % 2 == 0)
    branch.commit(f"run {number}")
    branch.merge_into("main")


def test_fourteen_parallel_runs_all_publish(client: lakefs.Client, repository: lakefs.Repository) -> None:
    with ThreadPoolExecutor(14) as pool:
        list(pool.map(lambda number: publish(client, repository.id, number), range(14)))
    main = repository.branch("main")
    expected = sorted(f"raw/part={number}/{part}" for number in range(14) for part in range(3))
    assert [one.path for one in main.objects()] == expected
    assert len(list(main.log())) == 1 + 14 * 2
    assert len(list(main.log(first_parent=True))) == 1 + 14


def test_parallel_writers_to_one_branch_all_succeed(repository: lakefs.Repository) -> None:
    branch = repository.branch("main")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: branch.object(f"{number:03}").upload(b"x", pre_sign=False), range(64)))
    branch.commit("all")
    assert len(list(branch.objects())) == 64


def test_exclusive_creates_in_parallel_have_one_winner(repository: lakefs.Repository) -> None:
    def attempt(number: int) -> bool:
        try:
            repository.branch("main").object("one").upload(str(number).encode(), mode="xb", pre_sign=False)
        except FileExistsError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(8))) == 1


@pytest.mark.parametrize("kill_after_s", [0.3, 1.0])
def test_everything_acknowledged_survives_sigkill(start_server: Callable[[], object], kill_after_s: float) -> None:
    server = start_server()
    repository = lakefs.Repository("kill", server.client).create("local://kill")
    branch = repository.branch("run").create("main")
    staged: list[str] = []
    commits: list[str] = []

    def work() -> None:
        with suppress(Exception):  # the kill cuts off whichever call is under way
            for number in range(100_000):
                path = f"object-{number:06}"
                branch.object(path).upload(path.encode(), pre_sign=False)
                staged.append(path)
                if number % 7 == 0:
                    commits.append(branch.commit(path).id)
                    branch.merge_into("main")

    worker = threading.Thread(target=work)
    worker.start()
    worker.join(kill_after_s)
    server.kill()
    worker.join(60)
    assert len(commits) >= 1, "the server was killed before anything was acknowledged"

    client = start_server().client
    branch = lakefs.Branch("kill", "run", client)
    present = {one.path: branch.object(one.path).reader(pre_sign=False).read() for one in branch.objects()}
    assert set(staged) <= set(present)
    assert all(data == path.encode() for path, data in present.items())
    assert set(commits) <= {one.id for one in branch.log()}
    branch.object("after").upload(b"after", pre_sign=False)
    branch.commit("after")
    branch.merge_into("main")


def test_a_large_object_is_streamed_not_held_in_memory(start_server: Callable[[], object]) -> None:
    server = start_server()
    lakefs.Repository("large", server.client).create("local://large")
    megabytes = 300

    def resident_mb() -> float:
        status = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))

    before = resident_mb()
    piece = bytes(2**20)
    url = f"{server.endpoint}/api/v1/repositories/large"
    auth = ("AKIATESTKEY", "test-secret-key")
    sent = httpx.post(
        f"{url}/branches/main/objects?path=big", content=(piece for _ in range(megabytes)), auth=auth, timeout=120
    )
    assert sent.json()["size_bytes"] == megabytes * 2**20
    with httpx.stream("GET", f"{url}/refs/main/objects?path=big", auth=auth) as answer:
        assert sum(len(part) for part in answer.iter_bytes()) == megabytes * 2**20
    assert resident_mb() - before < 100
