"""
### Reproduce: a past version made again, and compared with what was stated

**make_again** runs a registered version's stages again from its raw-data commit, in the code and parameters it was
made with, each stage on what is kept of the stages before it, and compares every output. The verdict is signed and
kept in the ledger; its short form is the task's XCom `verdict`, the whole one is in its log:

* *identical*: every output is bit for bit what was stated;
* *within tolerance*: another environment gave other bits that do the same; the numbers are named;
* *diverged*: the first stage that did is named, with what differs, and the task fails;
* *inconclusive*: something could not be made or judged; the task fails.

Nothing published is changed. Started by hand: name a version (empty: the newest registered), and how many of the newest
days' features to make again (empty: all). It needs what the pods need: PyTorch, and Spark.
"""

from __future__ import annotations

import datetime as dt
import json
import logging

from airflow.sdk import DAG, Param, get_current_context, task

from slipway.errors import DivergedError
from slipway.pipeline.project import readable_pipelines
from slipway.pipeline.spec import Pipeline
from slipway.settings import settings
from slipway.stages.release import choose_version
from slipway.stages.reproduce.reproduction import Services, reproduce
from slipway.stages.reproduce.verdict import Scope
from slipway_airflow import connections
from slipway_airflow.failures import fail_fast
from slipway_airflow.provenance import run_of

_LOG = logging.getLogger(__name__)
PARAMS = {
    "version": Param(None, type=["null", "string"], title="Version", description="MLflow's; empty: the newest."),
    "partitions": Param(
        None,
        type=["null", "integer"],
        minimum=1,
        title="Partitions",
        description="Make the features of so many newest days again; empty: of all.",
    ),
    "note": Param(None, type=["null", "string"], title="Note", description="Why this run was started."),
}


@task
@fail_fast
def make_again(name: str) -> str:
    """Make a version again and judge it; fails where it is not what it was."""
    context = get_current_context()
    params = context["params"]
    verdict = reproduce(
        Services(connections.lake_server(), connections.spark(), connections.mlflow()),
        connections.ledger(),
        name,
        choose_version(connections.mlflow(), name, params["version"] or ""),
        scope=Scope(partitions=params["partitions"]),
        run=run_of(context),
        root=settings().root,
        var=settings().var,
        say=_LOG.info,
    )
    _LOG.info("%s", json.dumps(verdict.document(), indent=2))
    context["ti"].xcom_push(key="verdict", value=verdict.brief())
    if verdict.outcome not in ("identical", "within tolerance"):
        raise DivergedError(f"{name} version {verdict.version}: {verdict.outcome}: {verdict.reason}")
    return verdict.outcome


def reproduce_line(pipeline: Pipeline) -> DAG:
    """The proof of one pipeline's versions."""
    with DAG(
        dag_id=f"{pipeline.name}.reproduce",
        dag_display_name=f"{pipeline.title}: reproduce",
        doc_md=__doc__,
        schedule=None,
        start_date=dt.datetime.combine(pipeline.start, dt.time(), dt.UTC),
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=False,
        params=PARAMS,
        default_args={
            "owner": pipeline.owner,
            "retries": 1,
            "retry_delay": dt.timedelta(seconds=30),
            "execution_timeout": dt.timedelta(hours=6),
        },
        tags=["slipway", pipeline.name, "reproduce"],
    ) as dag:
        make_again(pipeline.name)
    return dag


for _pipeline in readable_pipelines(settings().pipelines).values():
    reproduce_line(_pipeline)
