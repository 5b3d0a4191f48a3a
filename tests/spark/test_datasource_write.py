"""What a branch shows of a write job whose driver or tasks die at the wrong moment."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import pyarrow as pa
import pytest
from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from slipway.connections import LakeConnection
from slipway.errors import ConfigurationError, LakeError, UnavailableError
from slipway.lake import parquet_format
from slipway.lake.client import Lake
from slipway.lake.datasource_write import LakeWriter, StagedPart
from slipway.lake.read_plan import plan_read
from slipway.lake.staging import STAGING_PREFIX, BranchStaging, PresignedStaging, Staged, Staging, choose_staging
from slipway.lake.uri import LakeUri

MODES = ("presigned", "simple")
SCHEMA = pa.schema([("id", pa.int64())])


@dataclass(frozen=True)
class HalfPublished:
    """Staging whose server goes away after the first object was linked."""

    inner: Staging

    def stage(self, lake: Lake, uri: LakeUri, body: BinaryIO) -> Staged:
        return self.inner.stage(lake, uri, body)

    def publish(self, lake: Lake, objects: Sequence[Staged]) -> None:
        self.inner.publish(lake, objects[:1])
        raise UnavailableError("the lake went away")

    def discard(self, lake: Lake) -> None:
        self.inner.discard(lake)


def rows(count: int) -> Iterator[pa.RecordBatch]:
    yield pa.record_batch([pa.array(range(count))], schema=SCHEMA)


def part(writer: LakeWriter, lake: Lake, uri: LakeUri, count: int) -> StagedPart:
    """What a task of another Spark partition than the first does."""
    body = io.BytesIO()
    parquet_format.write(rows(count), SCHEMA, body)
    return StagedPart(writer.staging.stage(lake, uri, body), count)


@pytest.fixture
def numbers(repository: str) -> LakeUri:
    return LakeUri(repository, "run", "numbers/date=2013-01-01")


@pytest.mark.parametrize("mode", MODES)
def test_tasks_whose_driver_died_leave_nothing_on_the_branch(
    lake: Lake, lake_connection: LakeConnection, numbers: LakeUri, mode: str
) -> None:
    writer = LakeWriter.planned(lake_connection, numbers, SCHEMA, mode)
    writer.write(rows(10))
    assert lake.list(numbers) == []
    assert lake.uncommitted(numbers.repository, "run") == ()
    others = [name for name in lake.branches(numbers.repository) if not name.startswith(STAGING_PREFIX)]
    assert others == ["main", "run"]


@pytest.mark.parametrize("mode", MODES)
def test_of_a_task_that_ran_twice_one_file_counts(
    lake: Lake, lake_connection: LakeConnection, numbers: LakeUri, mode: str
) -> None:
    writer = LakeWriter.planned(lake_connection, numbers, SCHEMA, mode)
    writer.write(rows(10))
    writer.commit([writer.write(rows(10))])
    (found,) = lake.list(numbers)
    expected = io.BytesIO()
    parquet_format.write(rows(10), SCHEMA, expected)
    assert lake.get(LakeUri(numbers.repository, "run", found.path)) == expected.getvalue()


def test_a_partition_is_replaced_for_its_readers_in_one_step(
    lake: Lake, lake_connection: LakeConnection, numbers: LakeUri
) -> None:
    first = LakeWriter.planned(lake_connection, numbers, SCHEMA, None)
    first.commit([first.write(rows(10)), part(first, lake, numbers / "part-00001.parquet", 10)])
    before = lake.commit(numbers.repository, "run", "two files", {})
    second = LakeWriter.planned(lake_connection, numbers, SCHEMA, None)
    second.commit([second.write(rows(3))])
    assert len(plan_read(lake_connection, [numbers.at(before)], None).files) == 2
    with pytest.raises(LakeError, match="commit run before reading"):
        plan_read(lake_connection, [numbers], None)
    lake.commit(numbers.repository, "run", "one file", {})
    assert len(plan_read(lake_connection, [numbers], None).files) == 1


def test_a_commit_that_broke_off_is_never_read_and_a_rerun_completes_it(
    lake: Lake, lake_connection: LakeConnection, numbers: LakeUri
) -> None:
    whole = LakeWriter.planned(lake_connection, numbers, SCHEMA, None)
    broken = LakeWriter(lake_connection, numbers, SCHEMA, HalfPublished(whole.staging))
    with pytest.raises(UnavailableError):
        broken.commit([broken.write(rows(10)), part(broken, lake, numbers / "part-00001.parquet", 20)])
    with pytest.raises(LakeError, match="commit run before reading"):
        plan_read(lake_connection, [numbers], None)
    whole.commit([whole.write(rows(10)), part(whole, lake, numbers / "part-00001.parquet", 20)])
    lake.commit(numbers.repository, "run", "again", {})
    files = plan_read(lake_connection, [numbers], None).files
    assert [file.path.rsplit("/", 1)[1] for file in files] == ["part-00000.parquet", "part-00001.parquet"]


@pytest.mark.parametrize("mode", MODES)
def test_a_worker_that_is_killed_leaves_the_branch_as_it_was(
    spark: SparkSession, lake: Lake, numbers: LakeUri, mode: str
) -> None:
    def dies_late(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield batch
            if 99 in batch.column(0).to_pylist():
                os.kill(os.getpid(), signal.SIGKILL)

    frame = spark.range(0, 100, numPartitions=2).mapInArrow(dies_late, "id bigint")
    with pytest.raises(Py4JJavaError, match="worker exited unexpectedly"):
        frame.write.format("lakefs").option("access_mode", mode).mode("overwrite").save(str(numbers))
    assert lake.list(numbers) == []
    assert lake.branches(numbers.repository) == ["main", "run"]


@pytest.mark.parametrize(("offered", "expected"), [(True, PresignedStaging), (False, BranchStaging)])
def test_uploads_are_signed_where_the_server_offers_it_and_go_through_the_api_elsewhere(
    lake: Lake, numbers: LakeUri, monkeypatch: pytest.MonkeyPatch, offered: bool, expected: type
) -> None:
    api = lake.session.sdk.config_api
    said = api.get_config()
    assert said.storage_config is not None
    storage = said.storage_config.copy(update={"pre_sign_support": offered})
    monkeypatch.setattr(api, "get_config", lambda **_: said.copy(update={"storage_config": storage}))
    staging = choose_staging(lake, numbers, "job", None)
    assert type(staging) is expected
    staged = staging.stage(lake, numbers / "part-00000.parquet", io.BytesIO(b"rows"))
    assert lake.list(numbers) == []
    staging.publish(lake, [staged])
    staging.discard(lake)
    assert lake.get(numbers / "part-00000.parquet") == b"rows"
    assert lake.branches(numbers.repository) == ["main", "run"]


def test_an_unknown_access_mode_is_refused_by_name(lake: Lake, numbers: LakeUri) -> None:
    with pytest.raises(ConfigurationError, match="'other'"):
        choose_staging(lake, numbers, "job", "other")
