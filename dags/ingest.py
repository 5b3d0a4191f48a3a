"""
### Ingest: one day from the feed to published features

1. **features** fetches the day's raw tables, opens a run branch off `main`, puts them there, checked against their
   contracts, and runs the pipeline's Spark job from that commit to that branch. A day whose raw tables and features
   are on `main`, made of the same rows by the same code, is *skipped*, with **publish**; XCom `hit_or_miss` and the
   log say why. Where its last run ended before it announced the day, only **publish** has something left to do.
2. **publish** checks the features against their contract and against what the ledger says of the same fingerprint,
   commits with provenance and merges into `main`; the asset event carries the commit and the partition.

Runs daily for the day before. Trigger by hand with a partition, or backfill many days:
`airflow backfill create --dag-id <pipeline>.ingest --from-date 2013-02-01 --to-date 2013-02-14`.

When a check fails, `main` is unchanged and the run branch stays with the report; the task's error names both.
**features** and **publish** have a button for each report, *Quality report: <dataset>*, also when they failed.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict
from typing import Any

from airflow.sdk import DAG, Asset, CronPartitionTimetable, Param, get_current_context, task

from slipway.pipeline.load import find_pipeline
from slipway.pipeline.project import readable_pipelines
from slipway.pipeline.spec import Pipeline
from slipway.settings import settings
from slipway.stages.ingest import land, publish_features
from slipway.stages.landing import STAGE, Landing
from slipway.stages.spark import make_features
from slipway_airflow import connections
from slipway_airflow.failures import fail_fast
from slipway_airflow.partition import partition_of
from slipway_airflow.provenance import run_of
from slipway_airflow.report_link import link_reports, remember_reports
from slipway_airflow.reuse import reusing
from slipway_airflow.reuse_link import HitOrMissLink
from slipway_airflow.reuse_note import forced, note

PARAMS = {
    "partition": Param(
        None, type=["null", "string"], format="date", title="Partition", description="Day to ingest; empty: yesterday."
    ),
    "force": Param(False, type="boolean", title="Force", description="Make it again even if it is already there."),
    "note": Param(
        None, type=["null", "string"], title="Note", description="Why this run was started; kept with the commit."
    ),
}


# A Spark that crashed needs a minute to come back: a try waits 5 s for it. A retry finds the branch as it left it.
# Begun in the triggerer: of a day that is there already, no process is started.
@reusing(
    "slipway_airflow.decisions.ingest",
    task_id="features",
    pool="spark",
    retries=4,
    retry_delay=dt.timedelta(seconds=15),
)
@fail_fast
def features(name: str) -> dict[str, Any]:
    """Land the day's raw tables on a run branch, and make its features there."""
    context = get_current_context()
    pipeline = find_pipeline(settings().pipelines, name)
    partition = partition_of(context, first=pipeline.start)
    landing = land(
        connections.lake(),
        connections.ledger(),
        pipeline,
        partition,
        root=settings().root,
        copies=settings().feed_copies,
        force=forced(context),
        run_id=context["dag_run"].run_id,
        reported=remember_reports(context),
    )
    note(context, landing.reuse)
    make_features(
        connections.lake(),
        connections.ledger(),
        pipeline,
        landing,
        root=settings().root,
        connection=connections.spark(),
        credentials=connections.lake_server,
        intents=connections.intents(),
    )
    return asdict(landing)


def ingest_line(pipeline: Pipeline) -> DAG:
    """The ingest line of one pipeline."""
    published = Asset(name=f"{pipeline.name}.features", uri=f"lakefs://{pipeline.repository}/main/features")

    @task(task_id="publish", outlets=[published])
    @fail_fast
    def publish(landing: dict[str, Any]) -> str:
        """Merge the features into main if they satisfy their contract."""
        context = get_current_context()
        commit = publish_features(
            connections.lake(),
            connections.ledger(),
            pipeline,
            Landing(**landing),
            run_of(context),
            root=settings().root,
            reported=remember_reports(context),
        )
        event = context["outlet_events"][published]
        event.extra = {"commit": commit, "fingerprint": landing["fingerprint"]}
        event.add_partitions(landing["partition"])
        return commit

    with DAG(
        dag_id=f"{pipeline.name}.ingest",
        dag_display_name=f"{pipeline.title}: ingest",
        doc_md=__doc__,
        schedule=CronPartitionTimetable(pipeline.schedule, timezone="UTC", run_offset=-1, key_format="%Y-%m-%d"),
        # A run is for the day before: that of the start's own midnight would be for a day before the start.
        start_date=dt.datetime.combine(pipeline.start + dt.timedelta(days=1), dt.time(), dt.UTC),
        catchup=False,
        max_active_runs=4,
        params=PARAMS,
        default_args={
            "owner": pipeline.owner,
            "retries": 2,
            "retry_delay": dt.timedelta(seconds=5),
            "execution_timeout": dt.timedelta(minutes=30),
        },
        tags=["slipway", pipeline.name, "ingest"],
    ) as dag:
        landing = features(pipeline.name)
        published_commit = publish(landing)
        link_reports(landing, *pipeline.raw)
        landing.operator.operator_extra_links += (HitOrMissLink(),)
        link_reports(published_commit, STAGE)
    return dag


for _pipeline in readable_pipelines(settings().pipelines).values():
    ingest_line(_pipeline)
