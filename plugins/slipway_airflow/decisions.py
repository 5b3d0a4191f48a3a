"""What ``slipway_airflow.reuse`` asks: the contexts of runs in, the library's decisions out, as plain values."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from slipway.errors import SlipwayError
from slipway.lake.client import Lake
from slipway.ledger.store import Ledger
from slipway.pipeline.load import find_pipeline
from slipway.pipeline.spec import Pipeline
from slipway.settings import settings
from slipway.stages.arrival import arrival
from slipway.stages.landing import STAGE
from slipway_airflow import connections
from slipway_airflow.partition import partition_of
from slipway_airflow.reuse_note import forced

if TYPE_CHECKING:
    from airflow.sdk import Context

Answer = tuple[bool, dict[str, Any]]


def ingest(contexts: Sequence[Context]) -> list[Answer]:
    """Whether the partition of each run of an ingest line is published, and what to show of it."""
    connections.ledger.cache_clear()  # The triggerer outlives a change of the connections.
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
    answers = []
    for context, day in zip(contexts, days, strict=True):
        if isinstance(day, SlipwayError):
            answers.append(_not_decided(day))
        elif str(day) in known:
            answers.append(_decided(context, day, pipeline, lake, ledger))
        else:  # There is nothing to find; its worker says what is new about it.
            answers.append((False, {"reasons": [f"nothing was made of {day} before"]}))
    return answers


def _partition(context: Context, pipeline: Pipeline) -> dt.date | SlipwayError:
    try:
        return partition_of(context, first=pipeline.start)
    except SlipwayError as error:
        return error


def _decided(context: Context, day: dt.date, pipeline: Pipeline, lake: Lake, ledger: Ledger) -> Answer:
    begin = time.perf_counter()
    run: Any = context["dag_run"]
    try:
        reuse = arrival(
            lake,
            ledger,
            pipeline,
            day,
            root=settings().root,
            copies=settings().feed_copies,
            force=forced(context),
            run_id=run.run_id,
        ).reuse
    except SlipwayError as error:
        return _not_decided(error)
    return reuse.hit, {**reuse.brief(), "milliseconds": round((time.perf_counter() - begin) * 1000, 1)}


def _not_decided(error: SlipwayError) -> Answer:
    """One run's refusal is no other's; its task meets it again, and fails or is tried again by it."""
    return False, {"reasons": [f"not decided: {type(error).__name__}: {error}"]}
