"""Who asked for a commit: the task's DAG run as a value of the library."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk.configuration import conf

from slipway.stages.run import Run

if TYPE_CHECKING:
    from airflow.sdk import Context


def run_of(context: Context) -> Run:
    """The run a task instance works for; its URL leads to Airflow's UI."""
    run = context["dag_run"]
    base = conf.get("api", "base_url", fallback="").rstrip("/")
    return Run(
        dag_id=run.dag_id,
        run_id=run.run_id,
        run_type=str(getattr(run.run_type, "value", run.run_type)),
        run_url=f"{base}/dags/{run.dag_id}/runs/{run.run_id}",
        logical_date=run.logical_date,
        note=str(context["params"].get("note") or ""),
    )
