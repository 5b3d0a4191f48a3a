"""A ledger on disk with keys of its own, and statements to put into it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slipway.connections import LedgerConnection, SigningKeys
from slipway.identity.digest import sha256_bytes
from slipway.identity.fingerprint import Ingredients
from slipway.ledger.effects import Effects, Intents, Origin
from slipway.ledger.keys import ensure_keys
from slipway.ledger.statement import Execution, Statement
from slipway.ledger.store import Ledger

BEGIN = dt.datetime(2099, 1, 1, tzinfo=dt.UTC)
"""After any key was made: a key signs nothing that finished before it."""


def ledger_connection(folder: Path) -> LedgerConnection:
    """An empty SQLite database and new keys in a folder."""
    return LedgerConnection(f"sqlite:///{folder}/ledger.db", ensure_keys(SigningKeys.in_folder(folder / "keys")))


def ledger_at(folder: Path) -> Ledger:
    """The ledger there."""
    return Ledger(ledger_connection(folder))


def step(ledger: Ledger) -> Intents:
    """A step that records what it sets out to do in the same database, and never ends."""
    return Intents(Effects(ledger.connection), Origin("shop", "ingest", "shop.ingest", "run-1", "step"), ended=True)


def ingredients(stage: str = "features", pipeline: str = "shop", **changes: Any) -> Ingredients:
    """Some ingredients, of which ``changes`` replace parts."""
    parts: dict[str, Any] = {
        "code": {"spark_jobs/job.py": sha256_bytes(b"job")},
        "packages": {"pyspark": "4.3.0"},
        "parameters": {"partition": "2013-01-01"},
        "inputs": {"raw/sales": sha256_bytes(b"sales")},
        "environment": sha256_bytes(b"lock"),
        "hardware": "x86_64-cpu",
    }
    return Ingredients(stage=stage, pipeline=pipeline, **{**parts, **changes})


def execution(run_id: str = "run-1", seconds: float = 0.0) -> Execution:
    """A run of a second's length that began ``seconds`` after ``BEGIN``."""
    started = BEGIN + dt.timedelta(seconds=seconds)
    return Execution("shop.ingest", run_id, f"http://127.0.0.1/{run_id}", started, started + dt.timedelta(seconds=1))


def statement(
    stage: str = "features",
    subject: str = "2013-01-01",
    *,
    pipeline: str = "shop",
    outputs: Mapping[str, str] | None = None,
    materials: Mapping[str, str] | None = None,
    made_of: Mapping[str, Any] | None = None,
    **more: Any,
) -> Statement:
    """A statement; ``made_of`` replaces parts of its ingredients, ``more`` parts of itself."""
    made = {f"{stage}/{subject}": sha256_bytes(f"{stage} {subject}".encode())} if outputs is None else outputs
    return Statement(
        ingredients=ingredients(
            stage, pipeline, **({"parameters": {"subject": subject}} if made_of is None else made_of)
        ),
        subject=subject,
        outputs=made,
        materials=materials or {},
        execution=more.pop("execution", execution()),
        **more,
    )


def record_version(ledger: Ledger, pipeline: str, version: str, files: Mapping[str, str]) -> None:
    """State how a model version was made, from one day's raw rows on; ``files`` is path -> sha256 of the version's."""
    day = "2013-01-01"
    raw = statement("ingest", day, pipeline=pipeline, materials={"feed/flights": sha256_bytes(b"rows")})
    features = statement("features", day, pipeline=pipeline, materials=raw.outputs)
    trained = statement("train", f"{version}..{version}", pipeline=pipeline, materials=features.outputs)
    named = {f"versions/{version}/{path}": digest for path, digest in files.items()}
    registered = statement("register", version, pipeline=pipeline, outputs=named, materials=trained.outputs)
    ledger.record(raw, features, trained, registered)
