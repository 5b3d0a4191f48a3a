"""
### Train: from published features to a registered model version

1. **plan** pins `main`'s commit, splits its days into those learned from and later ones held out, and fingerprints
   the run.
2. **train** runs the training pod; it evaluates on the held-out days, overall and per slice.
3. **accept** goes on only if the model beats the plain baseline and the champion by the pipeline's margins;
   otherwise everything after it is skipped and its log says by how much the model missed.
4. **export** writes the canonical ONNX, **compile** makes one artifact per target and compares it with PyTorch.
5. **register** makes one version in MLflow with every artifact, and starts its release.

Starts by itself when enough new partitions of a month are published, and then uses data up to that month's end; or by
hand, with the last day to use in its form.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict
from typing import Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import (
    DAG,
    Asset,
    MinimumCount,
    MonthWindow,
    Param,
    PartitionedAssetTimetable,
    RollupMapper,
    StartOfMonthMapper,
    get_current_context,
    task,
)

from slipway.pipeline.load import find_pipeline
from slipway.pipeline.project import readable_pipelines
from slipway.pipeline.spec import Pipeline
from slipway.settings import settings
from slipway.stages.accept import accepted
from slipway.stages.register import champion_version, register_version
from slipway.stages.train import TrainingPlan, plan_training
from slipway_airflow import connections
from slipway_airflow.failures import fail_fast
from slipway_airflow.partition import training_end
from slipway_airflow.pod_task import PodTask
from slipway_airflow.provenance import run_of

PARAMS = {
    "partitions": Param(
        None,
        type=["null", "integer"],
        minimum=2,
        title="Fewest partitions",
        description="Refuse to train on fewer days; empty: the pipeline's own number.",
    ),
    "until": Param(
        None, type=["null", "string"], format="date", title="Until", description="Last day to use; empty: the newest."
    ),
    "force": Param(False, type="boolean", title="Force", description="Make it again even if it is already there."),
    "note": Param(None, type=["null", "string"], title="Note", description="Why this run was started."),
}


@task(multiple_outputs=False)
@fail_fast
def plan(name: str) -> dict[str, Any]:
    """Pin the data and decide the whole run."""
    context, pipeline = get_current_context(), find_pipeline(settings().pipelines, name)
    made = plan_training(
        connections.lake(),
        pipeline,
        root=settings().root,
        runtime=connections.compute().runtime,
        champion=champion_version(connections.mlflow(), pipeline),
        least=context["params"]["partitions"],
        until=training_end(context),
    )
    return asdict(made)


@task.short_circuit
@fail_fast
def accept(planned: dict[str, Any]) -> bool:
    """Go on only with a model that beats the baseline and the champion by the pipeline's margins."""
    return accepted(connections.lake(), TrainingPlan.of(planned))


@task(retries=3)
@fail_fast
def register(name: str, planned: dict[str, Any]) -> str:
    """Make one version of everything this run built."""
    places = connections.lake(), connections.ledger(), connections.mlflow()
    return register_version(
        *places,
        find_pipeline(settings().pipelines, name),
        plan=TrainingPlan.of(planned),
        run=run_of(get_current_context()),
        root=settings().root,
        intents=connections.intents(),
    )


def train_line(pipeline: Pipeline) -> DAG:
    """The training line of one pipeline."""
    enough = RollupMapper(
        upstream_mapper=StartOfMonthMapper(input_format="%Y-%m-%d"),
        window=MonthWindow(),
        wait_policy=MinimumCount(pipeline.training.min_new_partitions),
    )
    features = Asset(name=f"{pipeline.name}.features", uri=f"lakefs://{pipeline.repository}/main/features")
    with DAG(
        dag_id=f"{pipeline.name}.train",
        dag_display_name=f"{pipeline.title}: train",
        doc_md=__doc__,
        schedule=PartitionedAssetTimetable(assets=features, default_partition_mapper=enough),
        start_date=dt.datetime.combine(pipeline.start, dt.time(), dt.UTC),
        catchup=False,
        max_active_runs=1,
        params=PARAMS,
        default_args={
            "owner": pipeline.owner,
            "retries": 1,
            "retry_delay": dt.timedelta(seconds=5),
            "execution_timeout": dt.timedelta(hours=6),
        },
        tags=["slipway", pipeline.name, "train"],
    ) as dag:
        planned = plan(pipeline.name)
        train = PodTask(task_id="train", manifest=pipeline.training.pod, plan=planned, work="train")
        accepting = accept(planned)
        command = ["python", "-m", "slipway.compile.export"]
        export = PodTask(task_id="export", manifest=pipeline.training.pod, command=command, plan=planned, work="export")
        compiling = PodTask.partial(task_id="compile", plan=planned, map_index_template="{{ task.work }}")
        targets = [{"work": target, "manifest": pod} for target, pod in pipeline.compile.pods.items()]
        compiled = compiling.expand_kwargs(targets)
        version = register(pipeline.name, planned)
        release = TriggerDagRunOperator(
            task_id="release",
            trigger_dag_id=f"{pipeline.name}.release",
            trigger_run_id=f"release__{version}",
            conf={"version": version},
            skip_when_already_exists=True,
        )
        train >> accepting >> export >> compiled >> version >> release
    return dag


for _pipeline in readable_pipelines(settings().pipelines).values():
    train_line(_pipeline)
