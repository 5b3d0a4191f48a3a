"""Which lines of a pipeline, and which runs, are at work now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.lake.retention import INGEST, REPRODUCE, TRAIN

if TYPE_CHECKING:
    from airflow.sdk import Context

_UNDER_WAY = ["queued", "running"]


def lines_under_way(context: Context, pipeline: str) -> tuple[str, ...]:
    """The lines, of those that work on run branches, with a DAG run queued or running."""
    ti: Any = context["ti"]
    lines = (INGEST, TRAIN, REPRODUCE)
    return tuple(line for line in lines if ti.get_dr_count(dag_id=f"{pipeline}.{line}", states=_UNDER_WAY))


def run_under_way(context: Context, dag_id: str, run_id: str) -> bool:
    """Whether a DAG run is queued or running; one that is not known any more is neither."""
    ti: Any = context["ti"]
    return bool(ti.get_dr_count(dag_id=dag_id, run_ids=[run_id], states=_UNDER_WAY))
