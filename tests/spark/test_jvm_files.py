"""Which reader a session gets. Hadoop's local file system stands in for S3A: pyspark brings no jars for either."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from slipway.lake import parquet_format
from slipway.lake.client import Lake
from slipway.lake.jvm_files import FILE_SYSTEMS, JvmFileSystem, loadable, table
from slipway.lake.uri import LakeUri

COMMIT = "0123456789abcdef" * 4
LOCAL = "org.apache.hadoop.fs.LocalFileSystem"


@pytest.fixture
def configured(spark: SparkSession) -> Iterator[SparkSession]:
    """A session that names an endpoint for every file system, as ``docker/spark/spark-defaults.conf`` does."""
    for system in FILE_SYSTEMS:
        spark.conf.set(system.setting, "http://lakefs:8000")
    yield spark
    for system in FILE_SYSTEMS:
        spark.conf.unset(system.setting)


def test_a_session_without_the_jars_has_no_file_system_for_the_lake(configured: SparkSession) -> None:
    assert loadable(configured) is None


def test_the_first_file_system_that_is_set_up_and_loads_is_taken(configured: SparkSession) -> None:
    setting = FILE_SYSTEMS[1].setting
    absent = JvmFileSystem("io.lakefs.Absent", "lakefs://", setting)
    unset = JvmFileSystem(LOCAL, "file:///", "spark.hadoop.fs.absent.endpoint")
    present = JvmFileSystem(LOCAL, "file:///", setting)
    assert loadable(configured, (absent, unset, present)) is present


def test_paths_are_those_of_lakefs_and_of_its_s3_gateway() -> None:
    uri = LakeUri("flights", COMMIT, "raw/t/date=2013-01-01")
    assert [system.path(uri) for system in FILE_SYSTEMS] == [
        str(uri),
        f"s3a://flights/{COMMIT}/raw/t/date=2013-01-01",
    ]


def test_a_commit_is_read_by_the_jvm_with_the_data_sources_schema_and_a_branch_is_not(
    configured: SparkSession, lake: Lake, repository: str, tmp_path: Path
) -> None:
    in_lake = parquet_format.to_bytes(pa.table({"a": [1]}))
    lake.put(LakeUri(repository, "run", "t/date=01/a.parquet"), in_lake)
    commit = lake.commit(repository, "run", "t", {})
    copy = tmp_path / repository / commit / "t" / "date=01" / "a.parquet"
    copy.parent.mkdir(parents=True)
    copy.write_bytes(parquet_format.to_bytes(pa.table({"a": [2]})))
    local = (JvmFileSystem(LOCAL, f"file://{tmp_path}/", FILE_SYSTEMS[1].setting),)
    pinned = table(configured, LakeUri(repository, commit, "t"), {}, local)
    moving = table(configured, LakeUri(repository, "run", "t"), {}, local)
    assert [tuple(row) for row in pinned.collect()] == [(2, "01")]
    assert [tuple(row) for row in moving.collect()] == [(1, "01")]
    assert pinned.schema == moving.schema
