"""``python -m tests.bench.lake_stream --gib 5``: a large object goes through the embedded lake in little memory.

The project's own server runs in a process of its own. One object is sent and fetched through the API, another through
presigned URLs; what comes back is compared by MD5. Writes ``var/bench/lake-stream.json`` and fails where the server's
peak resident memory passes the limit.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
from rich.console import Console

from slipway.connections import LakeConnection
from tests.contract.lake.server import running_server

LIMIT_MB = 200
TIMEOUT_SECONDS = 120  # without a byte; the answer to an upload waits for the sync to disk
PIECE_BYTES = 2**20
PIECES_PER_GIB = 2**30 // PIECE_BYTES
REPOSITORY = "/repositories/stream"


class Body:
    """``gib`` GiB that no two pieces of are equal; ``md5`` is known when it has been sent."""

    def __init__(self, gib: int, seed: int) -> None:
        self._pieces = gib * PIECES_PER_GIB
        self._filling = random.Random(seed).randbytes(PIECE_BYTES - 8)
        self._digest = hashlib.md5(usedforsecurity=False)

    def __iter__(self) -> Iterator[bytes]:
        for number in range(self._pieces):
            piece = number.to_bytes(8, "big") + self._filling
            self._digest.update(piece)
            yield piece

    @property
    def size(self) -> int:
        """Bytes."""
        return self._pieces * PIECE_BYTES

    @property
    def md5(self) -> str:
        return self._digest.hexdigest()


def fetched_md5(http: httpx.Client, url: str) -> str:
    """MD5 of what the URL answers with."""
    digest = hashlib.md5(usedforsecurity=False)
    with http.stream("GET", url) as answer:
        answer.raise_for_status()
        for piece in answer.iter_raw():
            digest.update(piece)
    return digest.hexdigest()


def through_the_api(http: httpx.Client, body: Body) -> dict[str, float]:
    """Seconds to send and to fetch."""
    begin = time.perf_counter()
    sent = http.post(f"{REPOSITORY}/branches/main/objects?path=api", content=iter(body))
    put = time.perf_counter()
    sent.raise_for_status()
    assert sent.json()["size_bytes"] == body.size
    assert fetched_md5(http, f"{REPOSITORY}/refs/main/objects?path=api") == body.md5
    return {"put_seconds": round(put - begin, 1), "get_seconds": round(time.perf_counter() - put, 1)}


def through_presigned_urls(http: httpx.Client, body: Body) -> dict[str, float]:
    """Seconds to send (and link) and to fetch; the URLs carry no credentials."""
    backing = f"{REPOSITORY}/branches/main/staging/backing?path=presigned"
    location = http.get(f"{backing}&presign=true").json()
    begin = time.perf_counter()
    with httpx.Client(timeout=TIMEOUT_SECONDS, trust_env=False) as anyone:
        anyone.put(location["presigned_url"], content=iter(body)).raise_for_status()
        linked = http.put(backing, json={"staging": location, "checksum": body.md5, "size_bytes": body.size})
        put = time.perf_counter()
        linked.raise_for_status()
        stat = http.get(f"{REPOSITORY}/refs/main/objects/stat?path=presigned&presign=true").json()
        assert fetched_md5(anyone, stat["physical_address"]) == body.md5
    return {"put_seconds": round(put - begin, 1), "get_seconds": round(time.perf_counter() - put, 1)}


def peak_mb(process: psutil.Process) -> float:
    """The most resident memory the process ever had (Linux keeps count), in MB."""
    lines = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii").splitlines()
    kibibytes = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    return round(kibibytes * 1024 / 1e6, 1)


def run(gib: int, folder: Path) -> dict[str, Any]:
    """The whole proof; ``folder`` holds the server's data while it runs."""
    with running_server(folder) as connection, client(connection) as http:
        (server,) = psutil.Process().children()
        at_start = peak_mb(server)
        http.post("/repositories", json={"name": "stream", "storage_namespace": "local://s"}).raise_for_status()
        api = through_the_api(http, Body(gib, 1))
        presigned = through_presigned_urls(http, Body(gib, 2))
        peak = peak_mb(server)
    return {
        "gib": gib, "server_mb": {"at_start": at_start, "peak": peak, "limit": LIMIT_MB}, "api": api,
        "presigned": presigned,
    }  # fmt: skip


def client(connection: LakeConnection) -> httpx.Client:
    keys = (connection.access_key, connection.secret_key)
    return httpx.Client(base_url=f"{connection.endpoint}/api/v1", auth=keys, timeout=TIMEOUT_SECONDS, trust_env=False)


def main() -> None:
    """Run it and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gib", type=int, default=5, help="size of each of the two objects")
    parser.add_argument("--out", type=Path, default=Path("var/bench/lake-stream.json"))
    arguments = parser.parse_args()
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as folder:
        figures = run(arguments.gib, Path(folder))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    console.print_json(data=figures)
    console.print(f"written to {arguments.out}")
    if figures["server_mb"]["peak"] >= LIMIT_MB:
        sys.exit(f"expected the server to stay under {LIMIT_MB} MB of memory")


if __name__ == "__main__":
    main()
