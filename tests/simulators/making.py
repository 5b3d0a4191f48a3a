"""The whole making of a version in a ledger: days of data, a training, targets, a registration, a release."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from slipway.identity.digest import sha256_bytes
from slipway.ledger.statement import Execution, Statement
from slipway.ledger.store import Ledger
from tests.simulators.ledger import BEGIN, statement

AIRFLOW = "https://airflow.example.com"
MACHINE = {"cpu": "AMD EPYC 7B13", "hardware": "x86_64-cpu"}


@dataclass(frozen=True)
class Made:
    """The statements of a version."""

    data: tuple[Statement, ...]
    trained: Statement
    exported: Statement
    compiled: tuple[Statement, ...]
    registered: Statement
    released: tuple[Statement, ...]

    @property
    def all(self) -> tuple[Statement, ...]:
        return (*self.data, self.trained, self.exported, *self.compiled, self.registered, *self.released)


def ran(line: str, hours: float) -> Execution:
    """A run of one of the pipeline's DAGs, of two minutes' length."""
    started = BEGIN + dt.timedelta(hours=hours)
    run = f"scheduled__{started:%Y-%m-%dT%H:%M:%S}"
    url = f"{AIRFLOW}/dags/{line}/runs/{run}"
    return Execution(line, run, url, started, started + dt.timedelta(minutes=2), "a" * 40, False, MACHINE)


def commit_of(day: str) -> str:
    return sha256_bytes(f"main after {day}".encode())


def making(
    version: str = "3",
    *,
    pipeline: str = "flight_delay",
    days: int = 3,
    targets: Sequence[str] = ("x86-cpu", "x86-cpu-int8", "openvino-cpu"),
    outcomes: Sequence[str] = ("completed",),
    lr: float = 0.001,
    hours: float = 0.0,
) -> Made:
    """The statements of a version; it differs from another in ``lr`` alone, and shares the days' data with it."""
    first, repository = dt.date(2013, 1, 1), pipeline.replace("_", "-")
    names = [str(first + dt.timedelta(days=number)) for number in range(days)]
    data: list[Statement] = []
    features: dict[str, str] = {}
    for number, day in enumerate(names):
        run, commits = ran(f"{pipeline}.ingest", number / 10), {"raw": f"{repository}@{commit_of('raw ' + day)}"}
        raw = {
            f"raw/date={day}/{table}.parquet": sha256_bytes(f"{table} {day}".encode())
            for table in ("flights", "weather")
        }
        part = {f"features/date={day}/part-00000.parquet": sha256_bytes(f"features {day}".encode())}
        feed = {"feed/flights": sha256_bytes(f"feed {day}".encode())}
        ingest = statement(
            "ingest", day, pipeline=pipeline, outputs=raw, materials=feed, execution=run, commits=commits
        )
        main = {**commits, "main": f"{repository}@{commit_of(day)}"}
        made = statement("features", day, pipeline=pipeline, outputs=part, materials=raw, execution=run, commits=main)
        data += [ingest, made]
        features |= part
    when, span = hours + days, f"{names[0]}..{names[-1]}"
    places = {"data": f"{repository}@{commit_of(names[-1])}", "model": f"{repository}@{commit_of('model ' + version)}"}

    def work(stage: str, subject: str, materials: dict[str, str], files: Sequence[str], **made_of: object) -> Statement:
        kind = subject if stage == "compile" else stage
        outputs = {
            f"models/{kind}/{version}/{name}": sha256_bytes(f"{kind} {version} {name}".encode()) for name in files
        }
        parameters = {"subject": subject, **made_of}
        return statement(
            stage, subject, pipeline=pipeline, outputs=outputs, materials=materials, commits=places,
            made_of={"parameters": parameters}, execution=ran(f"{pipeline}.train", when),
        )  # fmt: skip

    trained = work("train", span, features, ["model.safetensors", "golden.npz"], lr=lr)
    exported = work("export", span, dict(trained.outputs), ["model.onnx"], lr=lr)
    compiled = tuple(
        work("compile", one, {**trained.outputs, **exported.outputs}, ["model.bin"], lr=lr) for one in targets
    )
    built = {name: sha for one in (trained, exported, *compiled) for name, sha in one.outputs.items()}
    files = {
        f"versions/{version}/targets/{target}/model.bin": sha256_bytes(f"{version} {target}".encode())
        for target in targets
    }
    registered = statement(
        "register", version, pipeline=pipeline, outputs=files, materials=built, commits=places,
        execution=ran(f"{pipeline}.train", when + 0.2),
        details={
            "metric": "auc",
            "metrics": {"auc": 0.7213, "rows": 5120},
            "targets": [
                *({"name": one, "status": "built", "sha256": "e" * 64, "agreement": 0.9996, "p50_ms": 0.21}
                  for one in targets),
                {"name": "jetson-orin", "status": "skipped", "reason": "no TensorRT on this machine"},
            ],
        },
    )  # fmt: skip
    return Made(tuple(data), trained, exported, compiled, registered, _released(registered, outcomes, when))


def _released(registered: Statement, outcomes: Sequence[str], when: float) -> tuple[Statement, ...]:
    pipeline, version = registered.pipeline, registered.subject
    found = []
    for number, outcome in enumerate(outcomes):
        release = f"{pipeline}-{version}-{number}"
        parameters = {"version": version, "release": release, "outcome": outcome}
        reason = "" if outcome == "completed" else "max_p99_ms: fail (observed 41, bound 20)"
        found.append(
            statement(
                "release", version, pipeline=pipeline, materials=dict(registered.outputs),
                outputs={f"releases/{release}/channel.json": sha256_bytes(release.encode())},
                made_of={"parameters": parameters}, execution=ran(f"{pipeline}.release", when + 1 + number),
                details={"outcome": outcome, "reason": reason, "phases": []},
            )
        )  # fmt: skip
    return tuple(found)


def record_making(ledger: Ledger, made: Made) -> None:
    """Write its statements, makers before users."""
    ledger.record(*made.all)
