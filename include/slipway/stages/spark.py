"""The features step: the pipeline's Spark job, from the commit of the raw tables to its run branch."""

from __future__ import annotations

import datetime as dt
import importlib.util
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from slipway.connections import LakeConnection, SparkConnection
from slipway.errors import ConfigurationError, LakeError, UnavailableError
from slipway.identity.code import code_digests, combined
from slipway.lake.client import Lake
from slipway.lake.spark_error import spark_refused
from slipway.lake.uri import LakeUri
from slipway.ledger.effects import Intents
from slipway.ledger.store import Ledger
from slipway.pipeline.spec import Pipeline
from slipway.stages import intended
from slipway.stages.landing import SPARK, Landing, features_prefix, published_beside, require_landed_code

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


CONNECT_SECONDS = 5.0
"""How long a Spark Connect server may take to answer before a task gives up, and leaves it to its retries."""

_CLASSIC = {
    **SPARK,
    # A classic session carries the lake's credentials as options of its queries; their texts must not.
    "spark.redaction.regex": "(?i)secret|password|token|access.?key",
    "spark.sql.redaction.options.regex": "(?i)url|secret|password|token|access.?key",
}


@contextmanager
def session(connection: SparkConnection, name: str) -> Iterator[SparkSession]:
    """A session of a Spark Connect server, of that name, or of a classic master, ended afterwards.

    Raises:
        UnavailableError: the server does not answer.
        ConfigurationError: it refuses the token, or is of another version than this process's pyspark.
    """
    spark = _remote(connection.remote, name) if connection.remote else _classic(str(connection.master))
    try:
        yield spark
    finally:
        # Stopping a Connect session would end it for every other task of the day.
        spark.client.close() if connection.remote else spark.stop()


def _remote(url: str, name: str) -> SparkSession:
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession
    from pyspark.sql.connect.client.retries import DefaultPolicy

    _answering(url)
    builder = SparkSession.builder.remote(f"{url};session_id={name}")
    try:
        spark = builder.getOrCreate()
        # pyspark's own policy tries for ten minutes; this one for 12 s, past a moment's loss of the connection.
        patience = DefaultPolicy(max_retries=6, max_backoff=4000, max_server_retry_delay=4000)
        spark.client.set_retry_policies([patience])
        # Making a session sends nothing: whether the token is right shows with the first question.
        for setting, value in SPARK.items():
            spark.conf.set(setting, value)
        require_own_version(spark.version)
    except PySparkException as error:
        raise spark_refused(error) from error
    return spark


def require_own_version(server: str) -> None:
    """Refuse a Spark whose version no fingerprint tells: that of ``pyspark`` here is what they hold.

    Raises:
        ConfigurationError: major and minor number differ.
    """
    from pyspark import __version__ as ours

    if server.split(".")[:2] != ours.split(".")[:2]:
        raise ConfigurationError(
            f"expected Spark {ours}, the pyspark of this project, at connection spark_default; it is Spark {server}: "
            "other versions may give other features under the same fingerprint; install the same version on both sides"
        )


def _answering(url: str) -> None:
    """Wait until a gRPC server is ready at a Spark Connect URL; its address alone goes into the error."""
    import grpc
    from pyspark.sql.connect.client import DefaultChannelBuilder

    builder = DefaultChannelBuilder(url)
    channel = builder.toChannel()
    try:
        grpc.channel_ready_future(channel).result(timeout=CONNECT_SECONDS)
    except grpc.FutureTimeoutError as error:
        raise UnavailableError(
            f"expected Spark Connect to answer at {builder.endpoint} (connection spark_default), it did not within "
            f"{CONNECT_SECONDS:.0f} s; start it (`make status` says whether the local one runs), or correct the "
            "connection"
        ) from error
    finally:
        channel.close()


def _classic(master: str) -> SparkSession:
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession

    try:
        spark = SparkSession.builder.master(master).config(map=_CLASSIC).getOrCreate()
    except (PySparkException, Py4JError) as error:
        raise UnavailableError(
            f"expected Spark to start on {master} (connection spark_default), got: {error}; start that master, or "
            "correct the connection"
        ) from error
    require_own_version(spark.version)
    return spark


def shared_session(day: dt.date, code: str) -> str:
    """The Spark Connect session all of a day's tasks share; ``code`` is ``worker_code``'s.

    A session has Python workers of its own, and starting them costs more than a day's features do. They are forked
    with the data source loaded, so a session must not outlive that code. Jobs keep nothing in it: they read commits,
    write to their own branches and make no views.
    """
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"slipway:spark-session:{day}:{code}"))


def worker_code(root: Path) -> str:
    """Digest of the code of this checkout that Spark's Python workers load once and keep."""
    include = root / "include"
    return combined(code_digests([include / "slipway" / "lake" / "spark_daemon.py"], [include]))


def make_features(
    lake: Lake,
    ledger: Ledger,
    pipeline: Pipeline,
    landing: Landing,
    *,
    root: Path,
    connection: SparkConnection,
    credentials: Callable[[], LakeConnection],
    intents: Intents,
) -> None:
    """Run the job of ``spark_jobs/`` for one landed partition; no Spark is asked when its features are published.

    ``credentials`` are asked for with a classic master; a Spark Connect server has its own in its environment.

    Raises:
        UnavailableError: Spark does not answer.
        ConfigurationError: there is no such job, it lacks ``INPUTS`` or ``transform``, or the code changed since the
            landing.
    """
    if landing.raw is None or published_beside(lake, ledger, pipeline, landing):
        return
    require_landed_code(pipeline, landing, root)
    job = load_job(root / "spark_jobs" / f"{pipeline.features.job}.py")
    runner = load_job(root / "spark_jobs" / "job.py")
    raw = LakeUri(pipeline.repository, landing.raw, "")
    output = LakeUri(pipeline.repository, landing.branch, features_prefix(landing.partition))
    place = {"source": str(raw), "output": str(output), "partition": landing.partition}
    options = {} if connection.remote else datasource_options(credentials())
    name = shared_session(dt.datetime.now(dt.UTC).date(), worker_code(root))
    effect = intended.job(pipeline.features.job, output)
    with session(connection, name) as spark, intents.intended(effect):
        try:
            runner.run(spark, job.transform, job.INPUTS, **place, options=options)
        except LakeError:
            # Another run of this partition may have published and deleted the branch meanwhile.
            if published_beside(lake, ledger, pipeline, landing) is None:
                raise


def datasource_options(credentials: LakeConnection) -> dict[str, str]:
    """The options of the ``lakefs`` data source that name a server."""
    return {
        "endpoint": credentials.endpoint,
        "access_key": credentials.access_key,
        "secret_key": credentials.secret_key,
    }


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
