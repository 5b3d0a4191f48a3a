"""The pod all these tests run: the train work of a small plan."""

import dataclasses

from airflow.sdk import DAG

from slipway.pipeline.load import find_pipeline
from slipway.pods.result import PodResult, upload, write_result
from slipway.settings import settings
from slipway.stages.train import plan_works
from slipway.stages.works import TRAIN, Data
from slipway_airflow.pod_task import PodTask

PLAN = plan_works(
    find_pipeline(settings().pipelines, "digit_reader"),
    "c" * 64,
    Data(["2013-01-01"], ["2013-01-02"], None, {"features/date=2013-01-01/part-00000.parquet": "1"}),
    root=settings().root,
    runtime="process",
)
OUTPUT = PLAN.output(TRAIN)
FINGERPRINT, ARGUMENTS = PLAN.works[TRAIN].fingerprint, PLAN.works[TRAIN].arguments
SECRETS = {"lakefs_default": "lake-secret-value", "mlflow_default": "mlflow-secret-value"}


def plan():
    return dataclasses.asdict(PLAN)


def pod_task(manifest="train", default_args=None, **kwargs):
    """The task as a DAG file makes it, with one retry left."""
    with DAG("digits.train", schedule=None, default_args=default_args or {}):
        return PodTask(task_id="train", manifest=manifest, plan=plan(), work="train", retries=1, **kwargs)


def finish(lake, fingerprint=FINGERPRINT):
    """Write what the training pod writes."""
    outputs = upload(lake, OUTPUT, {"model.safetensors": b"weights"})
    write_result(
        lake, OUTPUT, PodResult(stage="train", fingerprint=fingerprint, status="built", outputs=outputs, hardware="gpu")
    )
