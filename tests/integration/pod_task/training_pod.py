"""The pod all these tests run: the train work of a small plan."""

import dataclasses

from airflow.sdk import DAG

from slipway.lake.uri import LakeUri
from slipway.pipeline.load import find_pipeline
from slipway.pods.result import PodResult, upload, write_result
from slipway.settings import settings
from slipway.stages.train import TrainingPlan, Work, sources_of, training_code
from slipway_airflow.pod_task import PodTask

FINGERPRINT = "ab" * 32
OUTPUT = LakeUri("digits", "train-digits-ab", f"models/{FINGERPRINT}/train")
ARGUMENTS = ["--pipeline", "digits", "--fingerprint", FINGERPRINT, "--output", str(OUTPUT)]
SECRETS = {"lakefs_default": "lake-secret-value", "mlflow_default": "mlflow-secret-value"}


def plan():
    work = Work(ARGUMENTS, str(OUTPUT), FINGERPRINT)
    pipeline = find_pipeline(settings().pipelines, "digit_reader")
    made = TrainingPlan(
        pipeline=pipeline.name,
        commit="c" * 64,
        partitions=["2013-01-01"],
        holdout=["2013-01-02"],
        fingerprint=FINGERPRINT,
        branch=OUTPUT.ref,
        code="d",
        sources=sources_of(pipeline, settings().root, training_code(pipeline, settings().root)),
        targets=[],
        works={"train": work},
    )
    return dataclasses.asdict(made)


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
