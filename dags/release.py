"""
### Release: a registered version to the fleet, in phases

1. **prepare** signs the version's files into the pipeline's channel; no device takes them yet.
2. For each phase, **open** gives the version to that share of the fleet, and **observe** waits for what the devices
   report and judges it: updates, errors, latency, golden batch, shares of predictions. Too little evidence is not a
   pass.
3. **complete** makes it everybody's version and MLflow's champion. Should MLflow be away for long, clear it later.

When a gate fails, or evidence stays away, **roll_back** returns every device to the version before.

Started by registration, by hand, or by `slipway audit commit … --recall`: name a version (empty: the newest
registered), and switch *Approval* on to be asked before the last phase, *Approve first* before anything changes; answer
under *Required Actions*.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from airflow.sdk import DAG, Param, PokeReturnValue, TaskGroup, TriggerRule, chain, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from slipway.pipeline.project import readable_pipelines
from slipway.pipeline.spec import Pipeline
from slipway.settings import settings
from slipway.stages import release as stage
from slipway_airflow import rollouts
from slipway_airflow.approval import Approval
from slipway_airflow.failures import fail_fast

PARAMS = {
    "version": Param(None, type=["null", "string"], title="Version", description="MLflow's; empty: the newest."),
    "approval": Param(False, type="boolean", title="Approval", description="Ask a person before the last phase."),
    "approve_first": Param(False, type="boolean", title="Approve first", description="Ask before anything changes."),
    "supersede": Param(False, type="boolean", title="Supersede", description="First roll back one left unfinished."),
    "note": Param(None, type=["null", "string"], title="Note", description="Why this release was started."),
}


@task.branch
def ask_first() -> str:
    """Ask a person before the first change only when the form says so."""
    return "approve_first" if get_current_context()["params"]["approve_first"] else "prepare"


@task(trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS)
def prepare(name: str) -> str:
    """Choose the version and sign its files; skips all that follows when superseding has put the fleet on it."""
    if version := fail_fast(rollouts.prepare)(name):
        return version
    raise AirflowSkipException("every device is told to run that version: there is nothing to release")


@task(trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS)
@fail_fast
def open_phase(name: str, version: str, percent: int) -> None:
    """Give the version to this share of the fleet."""
    rollouts.rollout(name, version).open_phase(percent)


@task.sensor(poke_interval=2, mode="poke")
@fail_fast
def observe(name: str, version: str, percent: int) -> PokeReturnValue:
    """Wait for evidence and judge it."""
    decision = rollouts.rollout(name, version).observe()
    if decision.action == "wait":
        return PokeReturnValue(is_done=False)
    ti = get_current_context()["ti"]
    ti.xcom_push(key="phase", value=stage.phase_record(percent, decision))
    if decision.action == "roll_back":
        raise AirflowFailException(f"phase of {percent}%: {decision.reason}")
    return PokeReturnValue(is_done=True)


@task.branch
def ask(last: str) -> str:
    """Ask a person only when the form says so."""
    return "approve" if get_current_context()["params"]["approval"] else last


@task(retries=20, retry_delay=dt.timedelta(seconds=30))
@fail_fast
def complete(name: str, version: str, observed: list[str]) -> dict[str, Any]:
    """Make it everybody's version; from there the only way is on, so a registry that is away is waited for."""
    return rollouts.complete(name, version, observed)


@task(trigger_rule=TriggerRule.ONE_FAILED)
@fail_fast
def roll_back(name: str, observed: list[str]) -> None:
    """Return every device to the version before; fails, so that the run says it did not succeed."""
    rollouts.roll_back(name, observed)


def release_line(pipeline: Pipeline) -> DAG:
    """The release line of one pipeline."""
    *early, last = pipeline.release.phases
    observed = [f"phase_{percent}.observe" for percent in pipeline.release.phases]
    longest = pipeline.release.observe_seconds + 300
    with DAG(
        dag_id=f"{pipeline.name}.release",
        dag_display_name=f"{pipeline.title}: release",
        doc_md=__doc__,
        schedule=None,
        start_date=dt.datetime.combine(pipeline.start, dt.time(), dt.UTC),
        catchup=False,
        max_active_runs=1,
        params=PARAMS,
        default_args={"owner": pipeline.owner, "retries": 2, "retry_delay": dt.timedelta(seconds=5)},
        tags=["slipway", pipeline.name, "release"],
    ) as dag:
        version = prepare(pipeline.name)

        def phase(percent: int) -> tuple[Any, Any]:
            with TaskGroup(f"phase_{percent}"):
                opened = open_phase(pipeline.name, version, percent)
                seen = observe.override(timeout=longest)(pipeline.name, version, percent)
            opened >> seen
            return opened, seen

        refusable = {"fail_on_reject": True, "retries": 0}
        approve_first = Approval(
            task_id="approve_first",
            subject=f"{pipeline.title}: begin this release?",
            body="Version {{ params.version or 'newest' }}; no device was changed yet. {{ params.note or '' }}",
            **refusable,
        )
        approve = Approval(
            task_id="approve",
            subject=f"{pipeline.title}: release to the whole fleet?",
            body="Version {{ ti.xcom_pull(task_ids='prepare') }} passed its gates on part of the fleet.",
            **refusable,
        )
        steps = [step for percent in early for step in phase(percent)]
        asking = ask(f"phase_{last}.open_phase")
        opened, seen = phase(last)
        chain(ask_first(), [approve_first, version])
        chain(approve_first, version, *steps, asking, [approve, opened])
        completed = complete(pipeline.name, version, observed)
        approve >> opened >> seen >> completed
        [approve_first, version, *steps, approve, opened, seen, completed] >> roll_back(pipeline.name, observed)
    return dag


for _pipeline in readable_pipelines(settings().pipelines).values():
    release_line(_pipeline)
