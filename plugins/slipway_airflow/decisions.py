"""What ``slipway_airflow.reuse`` asks: the contexts of runs in, the library's decisions out, as plain values."""

from __future__ import annotations

import datetime as dt
import functools
import logging
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from slipway.errors import SlipwayError
from slipway.lake.client import Lake
from slipway.ledger.store import Ledger
from slipway.pipeline.load import find_pipeline
from slipway.pipeline.spec import Pipeline
from slipway.settings import settings
from slipway.stages.arrival import arrival
from slipway.stages.landing import STAGE, features_code
from slipway_airflow import connections
from slipway_airflow.partition import partition_of
from slipway_airflow.reuse_note import forced

if TYPE_CHECKING:
    from airflow.sdk import Context

Answer = tuple[bool, dict[str, Any]]
_REUSE = logging.getLogger("slipway.stages.reuse")
_THREADS = 2
"""A third of a decision is waiting for the lake and the ledger."""


def ingest(contexts: Sequence[Context]) -> list[Answer]:
    """Whether the partition of each run of an ingest line is published, and what to show of it.

    ``milliseconds`` is a run's share of what deciding for all of them took.
    """
    connections.ledger.cache_clear()  # The triggerer outlives a change of the connections.
    begin = time.perf_counter()
    lake, ledger = Lake(connections.lake_server()), connections.ledger()
    answers: dict[int, Answer] = {}
    with _quiet():
        for name in {_pipeline(context) for context in contexts}:
            ours = {number: context for number, context in enumerate(contexts) if _pipeline(context) == name}
            decided = _of_pipeline(list(ours.values()), find_pipeline(settings().pipelines, name), lake, ledger)
            answers |= dict(zip(ours, decided, strict=True))
    each = round((time.perf_counter() - begin) * 1000 / len(contexts), 1)
    return [
        (hit, {**shown, "milliseconds": each}) for hit, shown in (answers[number] for number in range(len(contexts)))
    ]


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave logging to the triggers, in their tasks' logs.

    A line that the triggerer logs for itself has Airflow look for triggers in its database once more, which takes
    longer than a decision.
    """
    before = _REUSE.level
    _REUSE.setLevel(logging.WARNING)
    try:
        yield
    finally:
        _REUSE.setLevel(before)


def _pipeline(context: Context) -> str:
    return str(context["dag_run"].dag_id).removesuffix(".ingest")


def _of_pipeline(contexts: Sequence[Context], pipeline: Pipeline, lake: Lake, ledger: Ledger) -> list[Answer]:
    days = [_partition(context, pipeline) for context in contexts]
    asked = {str(day) for day in days if isinstance(day, dt.date)}
    known = ledger.known(pipeline.name, STAGE, asked) if asked else set()
    root, copies = settings().root, settings().feed_copies
    look = functools.partial(arrival, lake, ledger, pipeline, root=root, copies=copies)
    code = functools.cache(lambda: features_code(pipeline, root))

    def answer(context: Context, day: dt.date | SlipwayError) -> Answer:
        if isinstance(day, SlipwayError):
            return _not_decided(day)
        if str(day) not in known:  # There is nothing to find; its worker says what is new about it.
            return False, {"reasons": [f"nothing was made of {day} before"]}
        run: Any = context["dag_run"]
        try:
            reuse = look(day, force=forced(context), run_id=run.run_id, code=code()).reuse
        except SlipwayError as error:
            return _not_decided(error)
        return reuse.hit, reuse.brief()

    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(answer, contexts, days))


def _partition(context: Context, pipeline: Pipeline) -> dt.date | SlipwayError:
    try:
        return partition_of(context, first=pipeline.start)
    except SlipwayError as error:
        return error


def _not_decided(error: SlipwayError) -> Answer:
    """One run's refusal is no other's; its task meets it again, and fails or is tried again by it."""
    return False, {"reasons": [f"not decided: {type(error).__name__}: {error}"]}
