"""An arrival: what the feed holds of a partition now, and whether the features it gives are published already."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from slipway.feed.fetch import fetch
from slipway.feed.parquet import to_parquet
from slipway.identity.code import Closure
from slipway.identity.digest import sha256_bytes
from slipway.identity.fingerprint import Ingredients
from slipway.lake.client import Lake
from slipway.lake.run_branch import ingest_branch
from slipway.ledger.store import Ledger
from slipway.pipeline.spec import Pipeline
from slipway.stages.landing import commit_of, ingredients_of, missing, raw_path, unfinished
from slipway.stages.reuse import Reuse, decide


@dataclass(frozen=True)
class Arrival:
    """One partition before anything was written anywhere."""

    tables: Mapping[str, pa.Table]
    objects: Mapping[str, bytes]
    """Raw object path -> Parquet file."""
    inputs: dict[str, str]
    """The same -> sha256."""
    ingredients: Ingredients
    """Of the features that would be made of it."""
    reuse: Reuse


def arrival(
    lake: Lake,
    ledger: Ledger,
    pipeline: Pipeline,
    partition: dt.date,
    *,
    root: Path,
    copies: Path | None = None,
    force: bool = False,
    run_id: str = "",
    code: Closure | None = None,
) -> Arrival:
    """Fetch a partition and decide whether its features have to be made; changes nothing.

    ``force``, and the pipeline's ``recheck`` for a share of runs by ``run_id``, make them although they are there.
    ``copies`` is a folder for parsed copies of the feed's files, ``code`` as of ``ingredients_of``. Features that were
    published by a run which ended before it announced them are a miss, with their statement: a worker has that left to
    do.

    Raises:
        ConfigurationError: the feed, the job or the lock is not there.
        UnreadableDataError: a file of the feed cannot be parsed.
        UnavailableError: the lake or the ledger does not answer.
    """
    day = partition.isoformat()
    tables = fetch(pipeline.feed, partition, copies)
    objects = {raw_path(name, day): to_parquet(table) for name, table in tables.items()}
    inputs = {path: sha256_bytes(data) for path, data in objects.items()}
    ingredients = ingredients_of(pipeline, day, inputs, root, code)
    reuse = decide(
        ledger,
        ingredients,
        day,
        lambda statement: missing(lake, pipeline, statement),
        force=force,
        recheck=pipeline.recheck,
        run_id=run_id,
    )
    return Arrival(tables, objects, inputs, ingredients, _announced(lake, pipeline, reuse))


def _announced(lake: Lake, pipeline: Pipeline, reuse: Reuse) -> Reuse:
    """The same, but a miss where nobody has been told of what was published."""
    if not reuse.hit or reuse.statement is None:
        return reuse
    branch = ingest_branch(pipeline.name, reuse.subject, reuse.fingerprint)
    if not unfinished(lake, pipeline, branch, commit_of(reuse.statement)):
        return reuse
    reason = f"published, but its run did not finish: its branch {branch} is there still"
    return replace(reuse, outcome="miss", reasons=(reason, *reuse.reasons))
