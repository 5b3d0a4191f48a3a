"""What ``slipway_airflow.reuse`` asks: the contexts of runs in, the library's decisions out, as plain values."""

from __future__ import annotations

import datetime as dt
import functools
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from slipway.errors import SlipwayError
from slipway.lake.client import Lake
from slipway.ledger.store import Ledger
from slipway.pipeline.load import find_pipeline
from slipway.pipeline.spec import Pipeline
from slipway.settings import settings
from slipway.stages.arrival import Arrival, arrival
from slipway.stages.landing import STAGE, features_code
from slipway_airflow import connections
from slipway_airflow.partition import partition_of
from slipway_airflow.reuse_note import forced

if TYPE_CHECKING:
    from airflow.sdk import Context

Answer = tuple[bool, dict[str, Any]]
_THREADS = 2
"""A third of a decision is waiting for the lake and the ledger."""


def ingest(contexts: Sequence[Context]) -> list[Answer]:
    """Whether the partition of each run of an ingest line is published, and what to show of it."""
    connections.ledger.cache_clear()  # The triggerer outlives a change of the connections.
    # Each trigger logs its own decision in its task's log. A line of the triggerer's own has Airflow look for triggers
    # in its database once more, which would take longer than the decision.
    logging.getLogger("slipway.stages.reuse").setLevel(logging.WARNING)
    lake, ledger = Lake(connections.lake_server()), connections.ledger()
    answers: dict[int, Answer] = {}
    for name in {_pipeline(context) for context in contexts}:
        ours = {number: context for number, context in enumerate(contexts) if _pipeline(context) == name}
        decided = _of_pipeline(list(ours.values()), find_pipeline(settings().pipelines, name), lake, ledger)
        answers |= dict(zip(ours, decided, strict=True))
    return [answers[number] for number in range(len(contexts))]


def _pipeline(context: Context) -> str:
    return str(context["dag_run"].dag_id).removesuffix(".ingest")


def _of_pipeline(contexts: Sequence[Context], pipeline: Pipeline, lake: Lake, ledger: Ledger) -> list[Answer]:
    days = [_partition(context, pipeline) for context in contexts]
    asked = {str(day) for day in days if isinstance(day, dt.date)}
    known = ledger.known(pipeline.name, STAGE, asked) if asked else set()
    root, copies = settings().root, settings().feed_copies
    try:
        code = features_code(pipeline, root) if known else None
    except SlipwayError as error:
        return [_not_decided(error)] * len(contexts)
    look = functools.partial(arrival, lake, ledger, pipeline, root=root, copies=copies, code=code)

    def answer(context: Context, day: dt.date | SlipwayError) -> Answer:
        if isinstance(day, SlipwayError):
            return _not_decided(day)
        if str(day) in known:
            return _decided(context, functools.partial(look, day))
        # There is nothing to find; its worker says what is new about it.
        return False, {"reasons": [f"nothing was made of {day} before"]}

    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(answer, contexts, days))


def _partition(context: Context, pipeline: Pipeline) -> dt.date | SlipwayError:
    try:
        return partition_of(context, first=pipeline.start)
    except SlipwayError as error:
        return error


def _decided(context: Context, look: Callable[..., Arrival]) -> Answer:
    begin = time.perf_counter()
    run: Any = context["dag_run"]
    try:
        reuse = look(force=forced(context), run_id=run.run_id).reuse
    except SlipwayError as error:
        return _not_decided(error)
    return reuse.hit, {**reuse.brief(), "milliseconds": round((time.perf_counter() - begin) * 1000, 1)}


def _not_decided(error: SlipwayError) -> Answer:
    """One run's refusal is no other's; its task meets it again, and fails or is tried again by it."""
    return False, {"reasons": [f"not decided: {type(error).__name__}: {error}"]}
