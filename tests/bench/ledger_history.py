"""Years of statements for a ledger and of reports for a gateway, written in bulk.

Statements are signed as the stages sign them and become rows by the code of ``Ledger.record``; only the rows' way into
the tables is ``COPY``, and their numbers are given here, so that several processes can write at once.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import random
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from slipway.connections import LedgerConnection
from slipway.gateway.tables import DEVICES, RUNNING
from slipway.identity.digest import sha256_bytes
from slipway.identity.fingerprint import Ingredients
from slipway.ledger.envelope import sign
from slipway.ledger.keys import signer
from slipway.ledger.rows import related_rows, statement_row
from slipway.ledger.schema import METADATA, STATEMENT
from slipway.ledger.statement import Execution, Statement
from slipway.ledger.trust import role_of

PIPELINE = "flight_delay"
TARGETS = ("x86-cpu", "x86-cpu-int8")
PER_RELEASE = 4 + len(TARGETS)
BEGIN = dt.datetime(2099, 1, 1, tzinfo=dt.UTC)
"""After the keys were made: a key signs nothing that finished before it."""
_CODE = {stage: {f"include/slipway/{stage}/module_{n:02}.py": sha256_bytes(f"{stage}{n}".encode()) for n in range(60)}
         for stage in ("ingest", "features", "train", "export", "compile", "register", "release")}  # fmt: skip
_PACKAGES = {f"package-{n}": f"1.{n}.0" for n in range(10)}


@dataclass(frozen=True)
class Size:
    """How much there is."""

    releases: int
    days: int
    devices: int
    stretches: int
    """Versions that each device ran, one after the other."""

    @property
    def statements(self) -> int:
        return 2 * self.days + PER_RELEASE * self.releases


def commit_of(kind: str, number: int) -> str:
    """A commit's id."""
    return sha256_bytes(f"{kind} {number}".encode())


def day_of(number: int) -> str:
    return (dt.date(2013, 1, 1) + dt.timedelta(days=number)).isoformat()


def released_at(number: int) -> dt.datetime:
    """When a release ended: one an hour."""
    return BEGIN + dt.timedelta(hours=number + 1)


def release_of(number: int) -> str:
    return f"{PIPELINE}-v{number + 1}-{commit_of('run', number)[:8]}"


def write_days(connection: LedgerConnection, days: int) -> None:
    """Every day's ingestion and features."""
    rows = _Rows(connection)
    for number in range(days):
        for place, statement in enumerate(_day(number)):
            rows.add(2 * number + place + 1, statement)
    rows.copy()


def write_releases(connection: LedgerConnection, days: int, numbers: Iterable[int]) -> None:
    """Some of the releases, each with its training on every day."""
    features = [_day(day)[1] for day in range(days)]
    rows = _Rows(connection)
    for day, one in enumerate(features):
        rows.remember(2 * day + 2, one)
    read = {name: sha for one in features for name, sha in one.outputs.items()}
    for count, number in enumerate(numbers, start=1):
        for place, statement in enumerate(_release(number, read, days)):
            rows.add(2 * days + PER_RELEASE * number + place + 1, statement)
        if count % 100 == 0:
            rows.copy()
    rows.copy()


def write_fleet(engine: sa.Engine, size: Size) -> None:
    """Devices that ran some of the versions, one after the other, and still run the last."""
    drawn = random.Random(1)
    devices, ran = [], []
    for number in range(size.devices):
        name = f"car-{number:05}"
        row = {"device_id": name, "pipeline": PIPELINE}
        versions = sorted(drawn.sample(range(size.releases), min(size.stretches, size.releases)))
        for change, version in enumerate(versions):
            since = released_at(version).timestamp()
            at = {"since": since, "received_at": since, "clock": "device", "removed": False}
            ran.append({**row, **at, "change": change, "version": str(version + 1), "release": release_of(version)})
        keys = {"public_key": "0" * 64, "target": TARGETS[number % 2], "architecture": "x86_64", "enrolled_at": 0.0}
        last = {name: ran[-1][name] for name in ("version", "release")}
        devices.append({**row, **keys, **last, "sequence": 1, "last_seen": released_at(size.releases).timestamp()})
    with engine.begin() as connection:
        connection.execute(sa.insert(DEVICES), devices)
        connection.execute(sa.insert(RUNNING), ran)


class _Rows:
    """Rows that wait to be copied, and who made what."""

    def __init__(self, connection: LedgerConnection) -> None:
        self._engine = sa.create_engine(connection.url)
        self._signers = {role: signer(connection.keys, role) for role in ("build", "approval")}
        self._waiting: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._makers: dict[tuple[str, str], tuple[int, str]] = {}

    def remember(self, number: int, statement: Statement) -> None:
        self._makers.update({output: (number, statement.stage) for output in statement.outputs.items()})

    def add(self, number: int, statement: Statement) -> None:
        self.remember(number, statement)
        envelope = sign(statement, self._signers[role_of(statement.stage)])
        self._waiting[STATEMENT.name].append({"id": number, **statement_row(statement, envelope)})
        makers = dict(self._makers[one] for one in statement.materials.items() if one in self._makers)
        for table, rows in related_rows(number, statement, makers).items():
            self._waiting[table.name] += rows

    def copy(self) -> None:
        with self._engine.begin() as connection:
            # Nothing here refers to what is not written; asking the database 7,000,000 times takes minutes.
            connection.exec_driver_sql("SET session_replication_role = replica")
            cursor = connection.connection.cursor()
            for table in METADATA.sorted_tables:
                if rows := self._waiting.pop(table.name, []):
                    names = ", ".join(f'"{name}"' for name in rows[0])
                    cursor.copy_expert(f"COPY {table.name} ({names}) FROM STDIN WITH (FORMAT csv)", _csv(rows))


def _csv(rows: list[dict[str, Any]]) -> io.StringIO:
    text = io.StringIO()
    spelled = ([json.dumps(value) if isinstance(value, dict) else value for value in row.values()] for row in rows)
    csv.writer(text).writerows(spelled)
    text.seek(0)
    return text


def _day(number: int) -> tuple[Statement, Statement]:
    day = day_of(number)
    started = BEGIN - dt.timedelta(days=1) + dt.timedelta(seconds=number)
    raw = {f"raw/{table}/date={day}/{table}.csv": commit_of(table, number) for table in ("flights", "weather")}
    features = {f"features/date={day}/part-00000.parquet": commit_of("features", number)}
    landed = {"raw": f"{PIPELINE}@{commit_of('raw', number)}"}
    published = {**landed, "main": f"{PIPELINE}@{commit_of('main', number)}"}
    feed = {f"feed/{day}": commit_of("feed", number)}
    return (
        _statement("ingest", day, raw, feed, landed, started, {"partition": day}),
        _statement("features", day, features, raw, published, started, {"partition": day}),
    )


def _release(number: int, read: Mapping[str, str], days: int) -> Iterable[Statement]:
    version, ended = str(number + 1), released_at(number)
    places = {"data": f"{PIPELINE}@{commit_of('main', days - 1)}", "model": f"{PIPELINE}@{commit_of('model', number)}"}
    every = [day_of(day) for day in range(days)]

    def work(stage: str, kind: str, subject: str, file: str, materials: Mapping[str, str]) -> Statement:
        parameters: dict[str, Any] = {"version": version, "kind": kind}
        if stage == "train":
            parameters |= {"partitions": every, "metric": "log_loss", "parameters": {"epochs": 20, "seed": number}}
        folder = f"models/{kind}/{commit_of(kind, number)}"
        outputs = {f"{folder}/{name}": sha256_bytes(f"{name} {folder}".encode()) for name in (file, "report.json")}
        return _statement(stage, subject, outputs, materials, places, ended - dt.timedelta(minutes=30), parameters)

    trained = work("train", "train", f"{every[0]}..{every[-1]}", "model.safetensors", read)
    exported = work("export", "export", f"{every[0]}..{every[-1]}", "model.onnx", trained.outputs)
    compiled = [work("compile", f"compile-{one}", one, "model.onnx", exported.outputs) for one in TARGETS]
    made = {name: sha for one in (trained, exported, *compiled) for name, sha in one.outputs.items()}
    files = {f"versions/{version}/{name}": commit_of(name, number) for name in _files()}
    details = {"metrics": {"log_loss": 0.4 + number / 1e6, "auc": 0.7, "rows": 20_000.0}, "metric": "log_loss"}
    registered = _statement(
        "register", version, files, made, places, ended - dt.timedelta(minutes=20), {"version_of": version}, details
    )
    said = {"version": version, "release": release_of(number), "outcome": "completed" if number % 10 else "rolled_back"}
    channel = {f"releases/{said['release']}/channel.json": commit_of("channel", number)}
    released = _statement("release", version, channel, files, {}, ended - dt.timedelta(seconds=1), said, said)
    return trained, exported, *compiled, registered, released


def _files() -> list[str]:
    shared = ["golden.npz", "evaluation.json", "replay.npz", "model.safetensors"]
    return [*shared, *(f"targets/{target}/{name}" for target in TARGETS for name in ("model.onnx", "manifest.json"))]


def _statement(
    stage: str,
    subject: str,
    outputs: Mapping[str, str],
    materials: Mapping[str, str],
    commits: Mapping[str, str],
    started: dt.datetime,
    parameters: Mapping[str, Any],
    details: Mapping[str, Any] | None = None,
) -> Statement:
    run = f"{stage}__{subject}"
    ingredients = Ingredients(
        stage, PIPELINE, _CODE[stage], parameters, materials, commit_of("lock", 0), "x86_64-cpu", 1, _PACKAGES
    )
    url = f"http://127.0.0.1:8080/dags/{PIPELINE}.{stage}/runs/{run}"
    execution = Execution(
        f"{PIPELINE}.{stage}", run, url, started, started + dt.timedelta(seconds=1), "a" * 40, False, {"cpu": "x86_64"}
    )
    return Statement(ingredients, subject, outputs, materials, execution, commits=commits, details=details or {})
