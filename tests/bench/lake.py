"""``make bench-lake``: what the lake's operations cost at a thousand objects and at a million.

The project's own server runs in a process of its own and is asked over plain HTTP on one kept-alive connection, so
every figure holds the wire, the transaction and the sync to disk. Repositories of 100 objects a folder are filled in
the server's own folder before it starts; changes are spread over random folders. Writes ``var/bench/lake.json``.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.progress import track

from slipway.connections import LakeConnection
from slipway.embedded.lakefs_server import branches
from slipway.embedded.lakefs_server.repository import Catalog, Repository
from slipway.embedded.lakefs_server.trees import Entry
from slipway.lake.client import Lake
from slipway.lake.publish import publish
from slipway.lake.uri import LakeUri
from slipway.quality.report import Verdict
from tests.contract.lake.server import running_server

SMALL = 1_000
PER_FOLDER = 100
BATCH = 50_000
ROUNDS = 30
WARM_ROUNDS = 2
CHANGES = 10
PUBLISHES = 50


def fill(repository: Repository, objects: int, console: Console) -> None:
    """Commit ``objects`` entries to main, without bodies: none of the measured operations reads one."""
    firsts = range(0, objects, BATCH)
    for first in track(firsts, f"filling {objects:,} objects", console=console, disable=len(firsts) < 2):
        rows = [
            ("main", name(number), Entry(f"{number:064x}", f"{number:032x}", number, "text/plain").encode(), None)
            for number in range(first, min(first + BATCH, objects))
        ]
        with repository.database.writing() as connection:
            connection.executemany("INSERT INTO staging VALUES (?, ?, ?, coalesce(?, 1))", rows)
        branches.commit(repository, "main", f"objects from {first}", {})


def name(number: int) -> bytes:
    return f"data/folder={number // PER_FOLDER:05}/part-{number % PER_FOLDER:05}.parquet".encode()


class Client:
    """One repository over one HTTP connection."""

    def __init__(self, connection: LakeConnection, repository: str, objects: int) -> None:
        self._http = httpx.Client(
            base_url=f"{connection.endpoint}/api/v1/repositories/{repository}",
            auth=(connection.access_key, connection.secret_key),
            trust_env=False,
        )
        self._objects = objects
        self._chance = random.Random(1)

    def _ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        answer = self._http.request(method, path, **request)
        answer.raise_for_status()
        return answer

    def branch(self, branch: str) -> None:
        self._ask("POST", "/branches", json={"name": branch, "source": "main"})

    def change(self, branch: str) -> None:
        for number in self._chance.sample(range(self._objects), CHANGES):
            body = self._chance.randbytes(16)
            self._ask("POST", f"/branches/{branch}/objects", params={"path": name(number).decode()}, content=body)

    def commit(self, branch: str) -> None:
        self._ask("POST", f"/branches/{branch}/commits", json={"message": "changes"})

    def merge(self, branch: str) -> None:
        self._ask("POST", f"/refs/{branch}/merge/main", json={"strategy": "source-wins"})

    def diff(self, branch: str) -> None:
        found = self._ask("GET", f"/refs/main/diff/{branch}", params={"amount": 1000}).json()["results"]
        assert len(found) == CHANGES, found

    def list(self) -> None:
        after = name(self._chance.randrange(max(1, self._objects - 2000))).decode()
        answer = self._ask("GET", "/refs/main/objects/ls", params={"amount": 1000, "after": after}).json()
        assert len(answer["results"]) == 1000 or self._objects <= SMALL


def timed(work: Callable[[], object]) -> float:
    """Milliseconds."""
    begin = time.perf_counter()
    work()
    return (time.perf_counter() - begin) * 1000


class Stopwatch:
    """Milliseconds by operation; round after round, so that both sizes see the same machine."""

    def __init__(self) -> None:
        self._found: dict[str, list[float]] = {}

    def note(self, key: str, work: Callable[[], object]) -> None:
        self._found.setdefault(key, []).append(timed(work))

    def medians(self) -> dict[str, float]:
        return {key: statistics.median(times) for key, times in self._found.items()}


def one_round(client: Client, watch: Stopwatch, number: int) -> None:
    """Each operation once; main moves on between a branch's birth and its merge."""
    mine, other = f"mine{number}", f"other{number}"
    watch.note("branch_p50_ms", lambda: client.branch(mine))
    client.branch(other)
    for branch in (mine, other):
        client.change(branch)
    watch.note("commit10_ms", lambda: client.commit(mine))
    client.commit(other)
    watch.note("diff10_ms", lambda: client.diff(mine))
    client.merge(other)
    watch.note("merge10_ms", lambda: client.merge(mine))
    watch.note("list1000_ms", client.list)


PASSED = (Verdict("features", "pass", "features/"),)


def publishes(connection: LakeConnection, repository: str) -> dict[str, float]:
    """Runs that publish different partitions at once, through the client that Airflow's tasks use."""
    lake = Lake(connection)
    commits = [f"run-{number}" for number in range(PUBLISHES)]

    def run(number: int) -> str:
        branch = commits[number]
        lake.create_branch(repository, branch, "main")
        lake.put(LakeUri(repository, branch, f"features/date={number:02}/part-00000.parquet"), b"%d" % number)
        return publish(lake, repository, branch, f"partition {number}", {}, verdicts=PASSED)

    begin = time.perf_counter()
    with ThreadPoolExecutor(PUBLISHES) as pool:
        made = set(pool.map(run, range(PUBLISHES)))
    seconds = time.perf_counter() - begin
    listed = lake.list(LakeUri(repository, "main", "features/"))
    return {"started": PUBLISHES, "succeeded": min(len(made), len(listed)), "seconds": round(seconds, 2)}


def run(objects: int, folder: Path, console: Console) -> dict[str, Any]:
    """The whole benchmark; ``folder`` holds the server's data while it runs."""
    sizes = {"small": SMALL, "large": objects}
    catalog = Catalog(folder / "data")
    for repository, size in sizes.items():
        fill(catalog.create(repository, f"local://{repository}", "main"), size, console)
    catalog.close()
    with running_server(folder) as connection:
        clients = {name: Client(connection, name, size) for name, size in sizes.items()}
        times = measure(clients, console)
        parallel = publishes(connection, "large")
    small, large = times["small"], times["large"]
    growth = {key: round(large[key] / small[key], 2) for key in large}
    shown = {key: round(value, 2) for key, value in large.items()}
    at_small = {key: round(value, 2) for key, value in small.items()}
    return {
        "objects": objects, **shown, "growth": growth, "at_1000_objects": at_small, "parallel_publishes": parallel
    }  # fmt: skip


def measure(clients: dict[str, Client], console: Console) -> dict[str, dict[str, float]]:
    """Median milliseconds of each operation, by repository."""
    for client in clients.values():
        for number in range(WARM_ROUNDS):
            one_round(client, Stopwatch(), -number - 1)
    watches = {name: Stopwatch() for name in clients}
    for number in track(range(ROUNDS), "measuring", console=console):
        for name, client in clients.items():
            one_round(client, watches[name], number)
    return {name: watch.medians() for name, watch in watches.items()}


def main() -> None:
    """Run it and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path, default=Path("var/bench/lake.json"))
    arguments = parser.parse_args()
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as folder:
        figures = run(arguments.objects, Path(folder), console)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    console.print_json(data=figures)
    console.print(f"written to {arguments.out}")


if __name__ == "__main__":
    main()
