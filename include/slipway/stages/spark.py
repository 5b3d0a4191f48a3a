"""The features step: the pipeline's Spark job, from its run branch to its run branch."""

from __future__ import annotations

import datetime as dt
import importlib.util
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from slipway.connections import SparkConnection
from slipway.errors import ConfigurationError, UnavailableError
from slipway.lake.uri import LakeUri
from slipway.pipeline.spec import Pipeline
from slipway.stages.ingest import Landing, features_prefix

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@contextmanager
def session(connection: SparkConnection) -> Iterator[SparkSession]:
    """A session of a Spark Connect server or of a classic master, ended afterwards.

    Raises:
        UnavailableError: the server does not answer.
    """
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession

    builder = SparkSession.builder
    if connection.remote:
        builder = builder.remote(f"{connection.remote};session_id={shared_session(dt.datetime.now(dt.UTC).date())}")
    else:
        builder = builder.master(str(connection.master))
    try:
        spark = builder.getOrCreate()
    except PySparkException as error:
        raise UnavailableError(
            f"expected Spark to answer at connection spark_default, got: {error}; `make status` says whether it runs"
        ) from error
    try:
        yield spark
    finally:
        # Stopping a Connect session would end it for every other task of the day.
        spark.client.close() if connection.remote else spark.stop()


def shared_session(day: dt.date) -> str:
    """The Spark Connect session all of a day's tasks share.

    A session has Python workers of its own, and starting them costs more than a day's features do. Jobs keep nothing
    in it: they read commits, write to their own branches and make no views.
    """
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"slipway:spark-session:{day}"))


def make_features(connection: SparkConnection, pipeline: Pipeline, landing: Landing, jobs: Path) -> None:
    """Run the job of ``spark_jobs/`` for one landed partition; no Spark is asked when its features are published.

    Raises:
        UnavailableError: Spark does not answer.
        ConfigurationError: there is no such job, or it lacks ``INPUTS`` or ``transform``.
    """
    if landing.commit is not None:
        return
    job = load_job(jobs / f"{pipeline.features.job}.py")
    runner = load_job(jobs / "job.py")
    branch = LakeUri(pipeline.repository, landing.branch, "")
    output = str(branch / features_prefix(landing.partition))
    with session(connection) as spark:
        runner.run(spark, job.transform, job.INPUTS, source=str(branch), output=output, partition=landing.partition)


def load_job(path: Path) -> ModuleType:
    """Import one file of ``spark_jobs/``, where jobs find each other by plain name as under ``spark-submit``."""
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.append(folder)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ConfigurationError(f"expected a Spark job at {path}; write it, or correct `features.job` of the pipeline")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
