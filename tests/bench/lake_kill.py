"""``make bench-lake-kill``: SIGKILL the lake's server under write load, again and again, and look what is there.

Every round: writers on branches of their own write objects (plain and presigned), commit, merge and tag at the same
time, while garbage is collected without a pause; at a random moment the server is killed. The data on disk is checked
as it lies (``fsck --deep``), the server is started again (and in every fifth round killed while it starts), and
everything that was acknowledged is looked for. Random moments follow from the seed, which is printed. Writes
``var/bench/lake-kill.json``.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from slipway.embedded.lakefs_server import fsck
from tests.bench.lake_kill_load import Writer
from tests.contract.lakefs_protocol.embedded_server import KEYS, EmbeddedServer, launch, start

WRITERS = 6
SHORTEST_S, LONGEST_S = 0.05, 1.2
REPOSITORY = "killed"
KEPT_S = 5.0
"""Age at which garbage is collected: longer than any upload here takes, short enough that much is collected."""


@dataclass
class Tally:
    """What happened over all rounds."""

    acknowledged: Counter[str] = field(default_factory=Counter)
    """Requests, by what they asked for."""
    collected: Counter[str] = field(default_factory=Counter)
    """What went for good while the load ran."""
    killed_while_starting: int = 0
    lost: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)


def rounds(folder: Path, count: int, seed: int, say: Callable[[str], None]) -> Tally:
    """Kill ``count`` times; raises if the server fails in any other way."""
    chance = random.Random(seed)
    say(f"seed {seed}")
    tally = Tally()
    writers = [Writer(REPOSITORY, number, seed) for number in range(WRITERS)]
    server = start(folder)
    try:
        with server.http() as http:
            body = {"name": REPOSITORY, "storage_namespace": f"local://{REPOSITORY}"}
            http.post("/repositories", json=body).raise_for_status()
            for writer in writers:
                writer.create(http)
        for number in range(count):
            delay = chance.uniform(SHORTEST_S, LONGEST_S)
            _load_and_kill(server, writers, delay, tally.collected)
            _check(server.data, tally)
            if number % 5 == 4:
                _kill_while_starting(folder, chance.uniform(0, 1.0))
                tally.killed_while_starting += 1
            server = start(folder)
            _look(server, writers, tally)
            say(f"round {number + 1}: killed after {delay:.3f} s, {acknowledged(writers).total()} acknowledged, "
                f"{len(tally.lost)} lost, {len(tally.findings)} findings")  # fmt: skip
    finally:
        server.kill()
    tally.acknowledged = acknowledged(writers)
    return tally


def acknowledged(writers: list[Writer]) -> Counter[str]:
    """Requests answered well so far, by what they asked for."""
    return sum((writer.acknowledged for writer in writers), Counter())


def _load_and_kill(server: EmbeddedServer, writers: list[Writer], delay: float, collected: Counter[str]) -> None:
    """Kill ``delay`` seconds after the first acknowledgement."""
    killed = threading.Event()

    def work(writer: Writer) -> None:
        with server.http() as http:
            writer.work(http, killed.is_set)

    def collect() -> None:
        """Without a pause, so that kills come in the middle of it."""
        with httpx.Client(auth=KEYS, timeout=60, trust_env=False) as http:
            while not killed.is_set():
                body = {"older_than_seconds": KEPT_S}
                with suppress(httpx.TransportError):
                    answer = http.post(f"{server.endpoint}/slipway/v1/gc", json=body)
                    answer.raise_for_status()
                    for name in ("commits", "nodes", "objects", "uploads"):
                        collected[name] += sum(one[name] for one in answer.json()["repositories"])

    with ThreadPoolExecutor(len(writers) + 1) as pool:
        before = acknowledged(writers).total()
        running = [pool.submit(work, writer) for writer in writers] + [pool.submit(collect)]
        while acknowledged(writers).total() == before and not any(one.done() for one in running):
            time.sleep(0.005)
        time.sleep(delay)
        killed.set()
        server.kill()
        for one in running:
            one.result(60)


def _kill_while_starting(folder: Path, delay: float) -> None:
    server = launch(folder)
    time.sleep(delay)
    server.kill()


def _check(data: Path, tally: Tally) -> None:
    tally.findings += [finding.what for finding in fsck.check(data, deep=True, progress=lambda *_: None)]


def _look(server: EmbeddedServer, writers: list[Writer], tally: Tally) -> None:
    leftovers = list((server.data / "repositories" / REPOSITORY / "incoming").iterdir())
    tally.findings += [f"{path} was left behind" for path in leftovers]
    with server.http() as http:
        for writer in writers:
            tally.lost += writer.lost(http)
            writer.forget()


def figures(tally: Tally, count: int, seed: int, seconds: float) -> dict[str, Any]:
    return {
        "rounds": count,
        "seed": seed,
        "writers": WRITERS,
        "acknowledged": dict(tally.acknowledged),
        "collected": dict(tally.collected),
        "killed_while_starting": tally.killed_while_starting,
        "lost": tally.lost,
        "fsck_findings": tally.findings,
        "seconds": round(seconds, 1),
    }


def main() -> None:
    """Run it and write the figures; exit status 1 if anything was lost or damaged."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--out", type=Path, default=Path("var/bench/lake-kill.json"))
    arguments = parser.parse_args()
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="slipway-kill-") as folder:
        tally = rounds(Path(folder), arguments.rounds, arguments.seed, lambda line: print(line, flush=True))
    found = figures(tally, arguments.rounds, arguments.seed, time.perf_counter() - begin)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=2))
    if tally.lost or tally.findings:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
