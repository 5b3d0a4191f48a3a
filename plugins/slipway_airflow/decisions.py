"""What ``slipway_airflow.reuse`` asks: the contexts of runs in, the library's decisions out, as plain values."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from slipway.errors import SlipwayError
from slipway.lake.client import Lake
from slipway.ledger.store import Ledger
from slipway.pipeline.load import find_pipeline
from slipway.settings import settings
from slipway.stages.arrival import arrival
from slipway_airflow import connections
from slipway_airflow.partition import partition_of
from slipway_airflow.reuse_note import forced

if TYPE_CHECKING:
    from airflow.sdk import Context


def ingest(contexts: Sequence[Context]) -> list[tuple[bool, dict[str, Any]]]:
    """Whether the partition of each run of an ingest line is published, and what to show of it."""
    connections.ledger.cache_clear()  # The triggerer outlives a change of the connections.
    lake, ledger = Lake(connections.lake_server()), connections.ledger()
    return [_answer(context, lake, ledger) for context in contexts]


def _answer(context: Context, lake: Lake, ledger: Ledger) -> tuple[bool, dict[str, Any]]:
    try:
        return _ingest(context, lake, ledger)
    except SlipwayError as error:  # One run's refusal is no other's; its task meets it again and says so.
        return False, {"reasons": [f"not decided: {type(error).__name__}: {error}"]}


def _ingest(context: Context, lake: Lake, ledger: Ledger) -> tuple[bool, dict[str, Any]]:
    begin = time.perf_counter()
    run: Any = context["dag_run"]
    pipeline = find_pipeline(settings().pipelines, run.dag_id.removesuffix(".ingest"))
    reuse = arrival(
        lake,
        ledger,
        pipeline,
        partition_of(context, first=pipeline.start),
        root=settings().root,
        copies=settings().feed_copies,
        force=forced(context),
        run_id=run.run_id,
    ).reuse
    return reuse.hit, {**reuse.brief(), "milliseconds": round((time.perf_counter() - begin) * 1000, 1)}
