"""Reproduce: a past version is made again, from its raw data on, in the code and parameters it was made with.

Each stage is judged by itself, on what is kept of the stages before it, and the verdict is signed. Nothing published is
changed: what is made lies uncommitted on a branch that goes in the end, and trainings are tracked in a store that goes.
"""

from __future__ import annotations

import datetime as dt
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from slipway.connections import LakeConnection, MlflowConnection, SparkConnection
from slipway.identity.digest import sha256_bytes
from slipway.identity.environment import lock_digest
from slipway.identity.fingerprint import Ingredients, cpu_hardware_class
from slipway.lake.client import Lake
from slipway.lake.run_branch import reproduce_branch
from slipway.lake.uri import LakeUri
from slipway.ledger.lock import exclusive
from slipway.ledger.statement import Statement
from slipway.ledger.store import Ledger
from slipway.stages.code import stage_code
from slipway.stages.reproduce.checkout import Checkouts
from slipway.stages.reproduce.making import AGAIN, Again, Making
from slipway.stages.reproduce.past import Past, Shelf, past_of
from slipway.stages.reproduce.processes import Processes
from slipway.stages.reproduce.verdict import Judged, Scope, Verdict, conclude
from slipway.stages.run import Run
from slipway.stages.works import EXPORT, TRAIN

STAGE = "reproduce"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Services:
    """What a reproduction reads, and makes things with."""

    lake: LakeConnection
    spark: SparkConnection
    registry: MlflowConnection


def reproduce(
    services: Services,
    ledger: Ledger,
    model: str,
    version: str,
    *,
    scope: Scope,
    run: Run,
    root: Path,
    var: Path,
    say: Say,
) -> Verdict:
    """Make a version again on this machine, and record the signed verdict.

    Args:
        services: where data and models are.
        ledger: where the version's statements are, and the verdict's goes.
        model: the pipeline.
        version: MLflow's number.
        scope: which stages, and how many days' features.
        run: who asked.
        root: the present checkout, whose repository has the past ones.
        var: a lock's file goes here.
        say: told what is done, a line at a time.

    Raises:
        EvidenceError: the ledger does not say how that version was made, or it cannot be believed.
        UnavailableError: a service does not answer; nothing was judged.
    """
    past = past_of(ledger, model, version)
    with (
        exclusive(f"reproduce-{model}-{version}", ledger.connection, var / "locks"),
        tempfile.TemporaryDirectory(prefix="slipway-reproduce-") as folder,
    ):
        making = Processes(services.lake, services.spark, services.registry, root, Path(folder), say)
        checkouts = Checkouts(root, Path(folder) / "checkouts")
        return judge_again(
            Lake(services.lake), ledger, past, making, checkouts, scope=scope, run=run, root=root, say=say
        )


def judge_again(
    lake: Lake,
    ledger: Ledger,
    past: Past,
    making: Making,
    checkouts: Checkouts,
    *,
    scope: Scope,
    run: Run,
    root: Path,
    say: Say,
) -> Verdict:
    """Judge a version stage by stage with what ``making`` makes, and record the verdict; raises as ``reproduce``."""
    started = dt.datetime.now(dt.UTC)
    repository, _, data = past.works[TRAIN].commits["data"].partition("@")
    with _branch(lake, repository, reproduce_branch(past.pipeline, past.version), data) as branch:
        again = Again(lake, past, Shelf(lake, past), checkouts, making, branch, scope, say)
        judged = [one for stage in scope.stages for one in _stage(again, stage)]
    finished = dt.datetime.now(dt.UTC)
    verdict = conclude(past.pipeline, past.version, judged, scope=scope, started=started, finished=finished)
    ledger.record(statement_of(verdict, past, run, root))
    return verdict


def written(verdict: Verdict) -> bytes:
    """The verdict as the file whose digest is signed."""
    return json.dumps(verdict.document(), indent=2, sort_keys=True, allow_nan=False).encode() + b"\n"


def statement_of(verdict: Verdict, past: Past, run: Run, root: Path) -> Statement:
    """The statement of a verdict: its document is among the details, and its file's digest the output."""
    code = stage_code(root, "include/slipway/stages/reproduce/reproduction.py")
    name = f"reproductions/{past.version}/verdict.json"
    return Statement(
        ingredients=Ingredients(
            stage=STAGE,
            pipeline=past.pipeline,
            code=code.code,
            packages=code.packages,
            parameters={"stages": list(verdict.scope.stages), "partitions": verdict.scope.partitions},
            inputs={"version": past.registered.fingerprint},
            environment=lock_digest(root),
            hardware=cpu_hardware_class(),
        ),
        subject=past.version,
        outputs={name: sha256_bytes(written(verdict))},
        # Each says when it was made and how long that took.
        varying=(name,),
        materials=past.registered.outputs,
        execution=run.execution(root, verdict.started),
        details=verdict.document(),
    )


def _stage(again: Again, stage: str) -> list[Judged]:
    if stage == "ingest":
        return again.ingest()
    if stage == "features":
        return again.features()
    if stage == "compile":
        return again.works(name for name in again.past.works if name not in (TRAIN, EXPORT))
    return again.works([stage])


@contextmanager
def _branch(lake: Lake, repository: str, name: str, source: str) -> Iterator[str]:
    """A branch that is gone afterwards; what a killed run left of it is gone before."""
    lake.delete_branch(repository, name)
    lake.create_branch(repository, name, source)
    try:
        # Its commit may be years old, and housekeeping sweeps by age; an object written now is not.
        lake.put(LakeUri(repository, name, f"{AGAIN}/begun"), b"")
        yield name
    finally:
        lake.delete_branch(repository, name)
