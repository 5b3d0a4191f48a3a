"""``make bench-lake-gc``: what collecting garbage costs beside a million objects, and what others feel of it.

A repository of a million entries (without bodies, which no measured operation reads) gets commits whose branches are
gone and object files that nothing names. The project's own server then collects over HTTP, while one client writes
small objects and another asks for an object's stat. Writes ``var/bench/lake-gc.json``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from slipway.connections import LakeConnection
from slipway.embedded.lakefs_server import branches
from slipway.embedded.lakefs_server.repository import Catalog, Repository
from slipway.embedded.lakefs_server.trees import Entry
from slipway.lake.collect import collect
from tests.bench.lake import fill, name
from tests.contract.lake.server import running_server

ORPHANS = 300
GARBAGE = 20_000
QUIET_S = 3.0


def litter(repository: Repository, objects: int) -> None:
    """Commits of ten changes whose branches are gone, and old files that nothing names."""
    for number in range(ORPHANS):
        branches.create_branch(repository, "orphan", "main")
        entries = [Entry(f"{at:064x}", f"{at:032x}", number, "text/plain").encode() for at in range(10)]
        paths = [name((number * 7919 + at * 104_729) % objects) for at in range(10)]
        rows = [("orphan", path, entry) for path, entry in zip(paths, entries, strict=True)]
        with repository.database.writing() as connection:
            connection.executemany("INSERT OR REPLACE INTO staging VALUES (?, ?, ?, 1)", rows)
        branches.commit(repository, "orphan", f"orphan {number}", {})
        branches.delete_branch(repository, "orphan")
    for number in range(GARBAGE):
        content = b"garbage %d" % number
        path = repository.blobs.path(hashlib.sha256(content).hexdigest())
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)


class Client(threading.Thread):
    """Repeats one request and notes how long each took, in milliseconds."""

    def __init__(self, connection: LakeConnection, ask: Callable[[httpx.Client], httpx.Response]) -> None:
        super().__init__(daemon=True)
        keys = (connection.access_key, connection.secret_key)
        self._http = httpx.Client(base_url=f"{connection.endpoint}/api/v1", auth=keys, timeout=60, trust_env=False)
        self._ask = ask
        self.times: list[float] = []
        self.stopped = False

    def run(self) -> None:
        while not self.stopped:
            begin = time.perf_counter()
            self._ask(self._http).raise_for_status()
            self.times.append((time.perf_counter() - begin) * 1000)

    def take(self) -> dict[str, float]:
        """Median, 99th percentile and most since the last call."""
        times, self.times = sorted(self.times), []
        shown = {"p50": statistics.median(times), "p99": times[int(len(times) * 0.99)], "max": times[-1]}
        return {key: round(value, 1) for key, value in shown.items()}


def write(http: httpx.Client) -> httpx.Response:
    path = "/repositories/large/branches/main/objects"
    return http.post(path, params={"path": "written"}, content=b"%d" % time.time_ns())


def stat(http: httpx.Client) -> httpx.Response:
    return http.get("/repositories/large/refs/main/objects/stat", params={"path": name(17).decode()})


def run(objects: int, folder: Path, console: Console) -> dict[str, Any]:
    catalog = Catalog(folder / "data")
    repository = catalog.create("large", "local://large", "main")
    fill(repository, objects, console)
    litter(repository, objects)
    catalog.close()
    with running_server(folder) as connection:
        clients = {"write": Client(connection, write), "stat": Client(connection, stat)}
        for client in clients.values():
            client.start()
        time.sleep(QUIET_S)
        before = {key: client.take() for key, client in clients.items()}
        (collected,) = collect(connection, older_than_seconds=1, dry_run=False)
        during = {key: client.take() for key, client in clients.items()}
        for client in clients.values():
            client.stopped = True
            client.join()
    return {"objects": objects, "collected": collected, "ms_before": before, "ms_during": during}


def main() -> None:
    """Run it and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path, default=Path("var/bench/lake-gc.json"))
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
