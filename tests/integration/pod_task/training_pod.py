"""The pod all these tests run: the train work of a small plan."""

import dataclasses

from airflow.sdk import DAG

from slipway.identity.code import combined
from slipway.pipeline.load import find_pipeline
from slipway.pods.result import PodResult, upload, write_result
from slipway.settings import settings
from slipway.stages.train import plan_works
from slipway.stages.works import TRAIN, Data
from slipway_airflow.pod_task import PodTask
from tests.integration.pod_task.running import RUN_ID

PLAN = plan_works(
    find_pipeline(settings().pipelines, "digit_reader"),
    "c" * 64,
    Data(["2013-01-01"], ["2013-01-02"], None, {"features/date=2013-01-01/part-00000.parquet": "1"}),
    root=settings().root,
    runtime="process",
)
OUTPUT = PLAN.output(TRAIN)
FINGERPRINT, ARGUMENTS = PLAN.works[TRAIN].fingerprint, PLAN.works[TRAIN].arguments
CODE = combined(PLAN.ingredients(TRAIN).code)
SECRETS = {"lakefs_default": "lake-secret-value", "mlflow_default": "mlflow-secret-value"}


def plan():
    return dataclasses.asdict(PLAN)


def pod_task(manifest="train", default_args=None, **kwargs):
    """The task as a DAG file makes it, with one retry left."""
    with DAG("digits.train", schedule=None, default_args=default_args or {}):
        return PodTask(task_id="train", manifest=manifest, plan=plan(), work="train", retries=1, **kwargs)


def finish(lake, fingerprint=FINGERPRINT, *, run=RUN_ID, weights=b"weights", code=CODE):
    """Write what the training pod of a run writes, having run ``code``."""
    outputs = upload(lake, OUTPUT, {"model.safetensors": weights})
    known = {"stage": "train", "fingerprint": fingerprint, "status": "built", "hardware": "gpu"}
    write_result(lake, OUTPUT, PodResult(outputs=outputs, run=run, code=code, **known))
