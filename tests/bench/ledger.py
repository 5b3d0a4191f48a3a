"""``make bench-ledger``: what questions about the past cost on years of them.

Starts a PostgreSQL of its own with the settings of the stack's, and a gateway on it; fills both with signed statements
and the fleet's reports (``ledger_history``), and asks. Every training read every day, so a commit of data leads to
every version there is. Questions are asked as the commands ask them: the ledger over SQL, the fleet over HTTP; what is
shown is verified. Starting a Python and drawing the answer are not counted. Writes ``var/bench/ledger.json``; fails
when a p99 is over the limit.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import multiprocessing
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa
from rich.console import Console

from slipway.connections import ChannelConnection, LedgerConnection, SigningKeys
from slipway.embedded import postgres
from slipway.gateway.store import Store
from slipway.ledger.audit import ask
from slipway.ledger.audit.records import LedgerRecords
from slipway.ledger.keys import ensure_keys
from slipway.ledger.schema import METADATA
from slipway.ledger.store import Ledger
from slipway.release.gateway_client import GatewayClient
from slipway.settings import settings
from tests.bench.ledger_history import (
    BEGIN,
    PIPELINE,
    Size,
    commit_of,
    released_at,
    write_days,
    write_fleet,
    write_releases,
)  # fmt: skip

LIMIT_MS = 200.0
_TOKEN = "operator-token-of-the-bench"
_DATABASE = "slipway_ledger"


def fill(connection: LedgerConnection, size: Size, processes: int) -> None:
    """Write everything, indexes last."""
    engine = sa.create_engine(connection.url)
    METADATA.create_all(engine)
    indexes = [index for table in METADATA.sorted_tables for index in table.indexes]
    for index in indexes:
        index.drop(engine)
    write_days(connection, size.days)
    shares = [range(start, size.releases, processes) for start in range(processes)]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        pool.starmap(write_releases, [(connection, size.days, share) for share in shares])
    for index in indexes:
        index.create(engine)
    Store(connection.url).close()
    write_fleet(engine, size)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as session:
        session.exec_driver_sql("VACUUM ANALYZE")
    engine.dispose()


def questions(records: ask.Records, fleet: ask.Fleet, size: Size) -> dict[str, Callable[[random.Random], object]]:
    """By kind, a question about something random that must have an answer."""

    def device(drawn: random.Random) -> object:
        at = BEGIN + (released_at(size.releases) - BEGIN) * (0.5 + drawn.random() / 2)
        answer = ask.device(records, fleet, f"car-{drawn.randrange(size.devices):05}", at)
        return _whole(answer, answer.ran is None or len(answer.artifacts) == 1)

    def commit(drawn: random.Random) -> object:
        # The last day's commit on main is also the one that every training was pinned to.
        day = size.days - 1 if drawn.random() < 0.1 else drawn.randrange(size.days)
        answer = ask.commit(records, fleet, commit_of(drawn.choice(("raw", "main")), day)[:16])
        return _whole(answer, len(answer.versions) == size.releases and len(answer.running) == size.devices)

    def model(drawn: random.Random) -> object:
        answer = ask.model(records, fleet, PIPELINE, str(1 + drawn.randrange(size.releases)))
        return _whole(answer, len(answer.making.partitions) == size.days)

    return {"device": device, "commit": commit, "model": model}


def _whole(answer: Any, complete: bool) -> object:
    if answer.gaps or not complete:
        raise SystemExit(f"expected a whole answer, got {str(answer)[:2000]}")
    return answer


def timed(question: Callable[[random.Random], object], times: int) -> dict[str, float]:
    """p50 and p99 in milliseconds, after a few that warm up."""
    drawn, took = random.Random(2), []
    for number in range(times + 5):
        begin = time.perf_counter()
        question(drawn)
        if number >= 5:
            took.append((time.perf_counter() - begin) * 1000)
    took.sort()
    return {"p50_ms": round(took[len(took) // 2], 1), "p99_ms": round(took[int(len(took) * 0.99)], 1)}


@contextmanager
def database(folder: Path) -> Iterator[str]:
    """A PostgreSQL like the stack's; its SQLAlchemy URL."""
    password, port = secrets.token_hex(16), _free_port()
    postgres.ensure_cluster(folder / "postgres", password)
    user = postgres.system_user()
    with (folder / "postgres.log").open("wb") as log:
        server = subprocess.Popen(
            postgres.command(folder / "postgres", port), stdout=log, stderr=log, user=user, group=user, cwd=folder,
            extra_groups=user and [],
        )  # fmt: skip
    try:
        postgres.wait_ready(port, password, 60)
        postgres.ensure_databases(port, password, {_DATABASE: password})
        yield f"postgresql+psycopg2://{postgres.SUPERUSER}:{password}@127.0.0.1:{port}/{_DATABASE}"
    finally:
        # Not SIGTERM: that waits for every connection to be closed.
        server.send_signal(signal.SIGINT)
        server.wait(60)


@contextmanager
def gateway(folder: Path, url: str) -> Iterator[GatewayClient]:
    """A gateway on the database, and its operator's client."""
    port = _free_port()
    (folder / "url").write_text(url)
    tokens = {"gateway_enrolment_token": "enrolment-token-of-the-bench", "gateway_operator_token": _TOKEN}
    (folder / "tokens.json").write_text(json.dumps(tokens))
    (folder / "channel").mkdir()
    command = [
        *(sys.executable, "-m", "slipway.gateway", "--port", str(port), "--repository", str(folder / "channel")),
        *("--database-url-file", str(folder / "url"), "--secrets", str(folder / "tokens.json")),
    ]
    server = subprocess.Popen(command)
    where = ChannelConnection(f"http://127.0.0.1:{port}", "", "", _TOKEN)
    try:
        for _ in range(300):
            try:
                httpx.get(f"{where.gateway}/healthz", trust_env=False).raise_for_status()
                break
            except httpx.HTTPError:
                time.sleep(0.1)
        yield GatewayClient(where)
    finally:
        server.terminate()
        server.wait(60)


def measure(size: Size, times: int, folder: Path) -> dict[str, Any]:
    """Fill, ask, and report."""
    with database(folder) as url:
        connection = LedgerConnection(url, ensure_keys(SigningKeys.in_folder(folder / "keys")))
        begin = time.perf_counter()
        fill(connection, size, os.cpu_count() or 1)
        filled = time.perf_counter() - begin
        with gateway(folder, url) as fleet:
            kinds = questions(LedgerRecords(Ledger(connection)), fleet, size)
            took = {name: timed(question, times) for name, question in kinds.items()}
        engine = sa.create_engine(url)
        with engine.connect() as session:
            counted = session.exec_driver_sql("SELECT count(*) FROM slipway_statement").scalar_one()
            held = session.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one()
        engine.dispose()
    return {
        "releases": size.releases,
        "statements": counted,
        "devices": size.devices,
        "partitions": size.days,
        "questions": times,
        **{f"{name}_{key}": value for name, found in took.items() for key, value in found.items()},
        "limit_ms": LIMIT_MS,
        "fill_seconds": round(filled, 1),
        "bytes": held,
        "load": os.getloadavg()[0],
        "measured": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    }


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--releases", type=int, default=10_000)
    parser.add_argument("--days", type=int, default=365, help="partitions that every training reads")
    parser.add_argument("--devices", type=int, default=1_000)
    parser.add_argument("--stretches", type=int, default=1, help="versions that each device ran")
    parser.add_argument("--times", type=int, default=200, help="questions of each kind")
    parser.add_argument("--output", type=Path, default=settings().var / "bench" / "ledger.json")
    given = parser.parse_args()
    size = Size(given.releases, given.days, given.devices, given.stretches)
    folder = Path(tempfile.mkdtemp(prefix="slipway-ledger-"))
    try:
        report = measure(size, given.times, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    Console().print_json(data=report)
    slow = [name for name in ("device", "commit", "model") if report[f"{name}_p99_ms"] > LIMIT_MS]
    if slow:
        raise SystemExit(f"expected a p99 of at most {LIMIT_MS:.0f} ms, not so: {', '.join(slow)}")


if __name__ == "__main__":
    main()
