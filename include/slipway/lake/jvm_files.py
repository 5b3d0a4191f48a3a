"""Reads of the lake by Spark's own Parquet reader, where the JVM has a file system for it.

Either lakeFS's Hadoop file system or S3A, which reaches lakeFS through its S3 gateway; ``docker/README.md`` says which
jars and settings they need. What the session can load decides, and whether it is told where lakeFS is: without an
endpoint S3A would ask Amazon. Only a commit is read this way, as nothing here pins a branch. Writes always go through
the ``lakefs`` data source: Spark's own files have random names, so a rerun would never be "no changes".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import DataFrame, SparkSession  # noqa: TID253 - a leaf of Spark

from slipway.lake.uri import LakeUri

_COMMIT = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class JvmFileSystem:
    """A Hadoop file system that can hold a lake: its class, the URI of its root and the setting that names lakeFS."""

    class_name: str
    root: str
    setting: str

    def path(self, uri: LakeUri) -> str:
        """The place of ``uri`` in this file system."""
        return f"{self.root}{uri.repository}/{uri.ref}/{uri.path}"


FILE_SYSTEMS = (
    JvmFileSystem("io.lakefs.LakeFSFileSystem", "lakefs://", "spark.hadoop.fs.lakefs.endpoint"),
    JvmFileSystem("org.apache.hadoop.fs.s3a.S3AFileSystem", "s3a://", "spark.hadoop.fs.s3a.endpoint"),
)


def loadable(spark: SparkSession, systems: Sequence[JvmFileSystem] = FILE_SYSTEMS) -> JvmFileSystem | None:
    """The first of ``systems`` that the session is set up for and whose class its JVM loads."""
    for system in systems:
        if spark.conf.get(system.setting, None) and _has_class(spark, system.class_name):
            return system
    return None


def table(
    spark: SparkSession,
    uri: LakeUri,
    options: Mapping[str, str],
    systems: Sequence[JvmFileSystem] = FILE_SYSTEMS,
) -> DataFrame:
    """The rows under ``uri``, read by the JVM where that can be, else by the ``lakefs`` data source.

    The data source is registered and takes ``options``; it tells the schema either way, so both give the same columns
    and types.
    """
    frame = spark.read.format("lakefs").options(**options).load(str(uri))
    system = loadable(spark, systems) if _COMMIT.fullmatch(uri.ref) else None
    return frame if system is None else spark.read.schema(frame.schema).parquet(system.path(uri))


def _has_class(spark: SparkSession, name: str) -> bool:
    # A classic session and Spark Connect answer alike, with the class loader that Hadoop's file systems come from.
    query = "SELECT try_reflect('org.apache.spark.util.Utils', 'classForName', :name, false, false)"
    row = spark.sql(query, args={"name": name}).first()
    return row is not None and row[0] is not None
