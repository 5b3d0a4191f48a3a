"""
### Housekeeping: what must be done daily, whatever else happens

**refresh_channel** signs the release channel's metadata again before it expires. Its timestamp is good for 7 days;
devices refuse older metadata, so that nobody can hold an update back from them unnoticed.

**sweep_branches** deletes run branches that were not published and have not changed for the pipeline's
`keep_run_branches_days`; its log says what went, what stays, and why. A branch that a registered model version or a
tag needs stays, and so does every branch of a line that has a run under way. Switch *Dry run* on in the form to see
what would go.

**reconcile_effects** closes what dead runs left open in the ledger of effects (`slipway effects`): it looks whether
each branch, commit, merge, version, alias or publication is there, and writes down what it found.

**collect_unreferenced** then frees what no branch, tag or upload under way refers to, in the embedded lake; lakeFS
collects with a job of its own.
"""

from __future__ import annotations

import datetime as dt

from airflow.sdk import DAG, Param, get_current_context, task

from slipway.pipeline.load import find_pipeline
from slipway.pipeline.project import readable_pipelines
from slipway.release.channel import Channel
from slipway.settings import settings
from slipway.stages import housekeeping
from slipway.stages.reconcile import Places, reconcile
from slipway_airflow import connections
from slipway_airflow.failures import fail_fast
from slipway_airflow.lines import lines_under_way, run_under_way

PARAMS = {
    "dry_run": Param(False, type="boolean", title="Dry run", description="Only say what would be done."),
}


@task
@fail_fast
def refresh_channel() -> bool:
    """Sign again what expires soon; says whether something was signed."""
    channel = Channel(connections.channel())
    channel.initialise()
    return channel.refresh_timestamp()


@task
@fail_fast
def sweep_branches(name: str) -> list[str]:
    """Delete the pipeline's run branches whose keep time is over; returns their names."""
    context = get_current_context()
    fates = housekeeping.sweep_branches(
        connections.lake(),
        connections.mlflow(),
        find_pipeline(settings().pipelines, name),
        now=dt.datetime.now(dt.UTC).timestamp(),
        running=lambda: lines_under_way(context, name),
        dry_run=bool(context["params"]["dry_run"]),
    )
    return [fate.branch for fate in fates if fate.goes]


@task
@fail_fast
def reconcile_effects() -> int:
    """Close the effects of runs that are over by what is found of them; returns how many."""
    context = get_current_context()
    closed = reconcile(
        connections.effects(),
        Places(connections.lake(), connections.mlflow(), Channel(connections.channel())),
        now=dt.datetime.now(dt.UTC),
        running=lambda dag_id, run_id: run_under_way(context, dag_id, run_id),
        dry_run=bool(context["params"]["dry_run"]),
    )
    return len(closed)


@task(trigger_rule="all_done")
@fail_fast
def collect_unreferenced() -> int:
    """Free what nothing refers to; returns how many bytes went."""
    dry_run = bool(get_current_context()["params"]["dry_run"])
    return housekeeping.collect_unreferenced(connections.lake_server(), dry_run=dry_run)


with DAG(
    dag_id="slipway.housekeeping",
    dag_display_name="Slipway: housekeeping",
    doc_md=__doc__,
    # Not at midnight: then the ingest lines are under way.
    schedule="30 3 * * *",
    start_date=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    params=PARAMS,
    default_args={
        "owner": "slipway",
        "retries": 3,
        "retry_delay": dt.timedelta(minutes=5),
        "execution_timeout": dt.timedelta(minutes=10),
    },
    tags=["slipway", "housekeeping"],
):
    refresh_channel()
    reconcile_effects()
    _sweeps = [
        sweep_branches.override(task_id=f"sweep_branches_{_name}")(_name)
        for _name in readable_pipelines(settings().pipelines)
    ]
    _sweeps >> collect_unreferenced()
