"""Which lines of a pipeline are at work now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.lake.retention import INGEST, TRAIN

if TYPE_CHECKING:
    from airflow.sdk import Context


def lines_under_way(context: Context, pipeline: str) -> tuple[str, ...]:
    """The lines, of those that work on run branches, with a DAG run queued or running."""
    ti: Any = context["ti"]
    states = ["queued", "running"]
    return tuple(line for line in (INGEST, TRAIN) if ti.get_dr_count(dag_id=f"{pipeline}.{line}", states=states))
