"""The ``lakefs`` data source in a real Spark session against the project's lakeFS-protocol server."""

from __future__ import annotations

import datetime as dt
import io
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - Spark's own idiom

from slipway import errors
from slipway.connections import LakeConnection
from slipway.lake import parquet_format
from slipway.lake.client import Lake
from slipway.lake.spark_error import slipway_error
from slipway.lake.uri import LakeUri

ALL_TYPES = (
    "key string, count bigint, small int, delay double, late boolean, day date, at timestamp, local timestamp_ntz, "
    "price decimal(9,2), raw binary, tags array<string>, place struct<code: string, miles: double>"
)
NOON = dt.datetime(2013, 1, 1, 12, 30, 15, 250_000)
ROWS = [
    (
        "a",
        1,
        2,
        0.5,
        True,
        dt.date(2013, 1, 1),
        NOON,
        NOON,
        Decimal("1.25"),
        bytearray(b"\x00\xff"),
        ["x"],
        ("EWR", 1.0),
    ),
    ("b", None, None, None, None, None, None, None, None, None, None, None),
]


def write(frame: DataFrame, uri: str, **options: str) -> None:
    frame.write.format("lakefs").options(**options).mode("overwrite").save(uri)


def read(spark: SparkSession, *uris: str, **options: str) -> DataFrame:
    return spark.read.format("lakefs").options(**options).load(list(uris) if len(uris) > 1 else uris[0])


def numbers(spark: SparkSession, count: int, partitions: int = 2) -> DataFrame:
    return spark.range(0, count, numPartitions=partitions).withColumn("text", F.col("id").cast("string"))


def put_table(lake: Lake, uri: str, table: pa.Table) -> None:
    lake.put(LakeUri.parse(uri), parquet_format.to_bytes(table))


def paths(lake: Lake, uri: str) -> list[str]:
    return [found.path for found in lake.list(LakeUri.parse(uri))]


@contextmanager
def configured(spark: SparkSession, name: str, value: str) -> Iterator[None]:
    spark.conf.set(name, value)
    try:
        yield
    finally:
        spark.conf.unset(name)


def failure(action: object) -> errors.SlipwayError | None:
    with pytest.raises(PySparkException) as raised:
        action()  # type: ignore[operator]
    return slipway_error(raised.value)


def test_rows_of_every_type_are_read_back_as_written(spark: SparkSession, lake: Lake, repository: str) -> None:
    uri = f"lakefs://{repository}/run/types"
    frame = spark.createDataFrame(ROWS, ALL_TYPES).coalesce(1)
    write(frame, uri)
    lake.commit(repository, "run", "types", {})
    found = read(spark, uri)
    assert found.schema == frame.schema
    assert found.orderBy("key").collect() == frame.orderBy("key").collect()


def test_each_partition_is_a_file_that_only_its_branch_shows(spark: SparkSession, lake: Lake, repository: str) -> None:
    write(numbers(spark, 100), f"lakefs://{repository}/run/numbers")
    assert paths(lake, f"lakefs://{repository}/run") == ["numbers/part-00000.parquet", "numbers/part-00001.parquet"]
    assert paths(lake, f"lakefs://{repository}/main") == []
    tables = [
        pq.read_table(io.BytesIO(lake.get(LakeUri(repository, "run", path))))
        for path in paths(lake, f"lakefs://{repository}/run")
    ]
    assert pa.concat_tables(tables).column("id").to_pylist() == list(range(100))


def test_the_same_rows_again_are_no_change(spark: SparkSession, lake: Lake, repository: str) -> None:
    uri = f"lakefs://{repository}/run/numbers"
    write(numbers(spark, 1000), uri)
    first = lake.commit(repository, "run", "first", {})
    write(numbers(spark, 1000), uri)
    assert lake.uncommitted(repository, "run") == ()
    assert lake.commit(repository, "run", "again", {}) == first


def test_a_write_replaces_what_was_under_its_prefix_and_nothing_beside(
    spark: SparkSession, lake: Lake, repository: str
) -> None:
    write(numbers(spark, 10), f"lakefs://{repository}/run/features/date=2013-01-10")
    write(numbers(spark, 30, 3), f"lakefs://{repository}/run/features/date=2013-01-1")
    write(numbers(spark, 5, 1), f"lakefs://{repository}/run/features/date=2013-01-1")
    assert paths(lake, f"lakefs://{repository}/run") == [
        "features/date=2013-01-1/part-00000.parquet",
        "features/date=2013-01-10/part-00000.parquet",
        "features/date=2013-01-10/part-00001.parquet",
    ]


@pytest.mark.parametrize("mode", ["presigned", "simple"])
def test_a_failed_job_leaves_the_branch_as_it_was(spark: SparkSession, lake: Lake, repository: str, mode: str) -> None:
    uri = f"lakefs://{repository}/run/numbers"
    write(numbers(spark, 10), uri)
    before = lake.list(LakeUri.parse(uri))
    broken = numbers(spark, 100).where(F.when(F.col("id") == 99, F.raise_error(F.lit("broken row"))).otherwise(True))
    with pytest.raises(PySparkException, match="broken row"):
        write(broken, uri, access_mode=mode)
    assert lake.list(LakeUri.parse(uri)) == before
    assert lake.branches(repository) == ["main", "run"]


def test_a_store_without_signed_urls_gives_the_same_objects(spark: SparkSession, lake: Lake, repository: str) -> None:
    write(numbers(spark, 100), f"lakefs://{repository}/run/numbers", access_mode="presigned")
    commit = lake.commit(repository, "run", "presigned", {})
    write(numbers(spark, 100), f"lakefs://{repository}/run/numbers", access_mode="simple")
    assert lake.commit(repository, "run", "simple", {}) == commit
    assert lake.branches(repository) == ["main", "run"]


def test_no_rows_are_one_empty_file_with_the_schema(spark: SparkSession, lake: Lake, repository: str) -> None:
    uri = f"lakefs://{repository}/run/numbers"
    write(numbers(spark, 100).where("id < 0"), uri)
    assert paths(lake, uri) == ["numbers/part-00000.parquet"]
    lake.commit(repository, "run", "empty", {})
    found = read(spark, uri)
    assert found.schema.simpleString() == "struct<id:bigint,text:string>"
    assert found.count() == 0


def test_a_frame_without_any_partition_is_an_empty_file_too(spark: SparkSession, lake: Lake, repository: str) -> None:
    write(spark.createDataFrame([], "id bigint"), f"lakefs://{repository}/run/none")
    assert paths(lake, f"lakefs://{repository}/run/none") == ["none/part-00000.parquet"]


def test_folders_become_string_columns(spark: SparkSession, lake: Lake, repository: str) -> None:
    for day in ("2013-01-01", "2013-01-02"):
        write(numbers(spark, 2, 1), f"lakefs://{repository}/run/features/date={day}")
    lake.commit(repository, "run", "days", {})
    found = read(spark, f"lakefs://{repository}/run/features")
    assert found.dtypes == [("id", "bigint"), ("text", "string"), ("date", "string")]
    assert [tuple(row) for row in found.where("date = '2013-01-02'").orderBy("id").collect()] == [
        (0, "0", "2013-01-02"),
        (1, "1", "2013-01-02"),
    ]
    assert found.select("date").distinct().count() == 2


def test_named_partitions_keep_their_column_under_a_base_path(spark: SparkSession, lake: Lake, repository: str) -> None:
    for day in ("2013-01-01", "2013-01-02", "2013-01-03"):
        write(numbers(spark, 2, 1), f"lakefs://{repository}/run/features/date={day}")
    lake.commit(repository, "run", "days", {})
    base = f"lakefs://{repository}/run/features"
    found = read(spark, f"{base}/date=2013-01-01", f"{base}/date=2013-01-03", basePath=base)
    assert {row.date for row in found.collect()} == {"2013-01-01", "2013-01-03"}
    assert read(spark, f"{base}/date=2013-01-01").columns == ["id", "text"]


def test_a_given_schema_reads_those_columns_alone(spark: SparkSession, lake: Lake, repository: str) -> None:
    put_table(lake, f"lakefs://{repository}/run/t/date=1/a.parquet", pa.table({"a": [1], "b": ["x"], "c": [1.5]}))
    lake.commit(repository, "run", "t", {})
    reader = spark.read.format("lakefs")
    uri = f"lakefs://{repository}/run/t"
    assert [tuple(row) for row in reader.schema("c double, a bigint").load(uri).collect()] == [(1.5, 1)]
    assert [tuple(row) for row in reader.schema("date string").load(uri).collect()] == [("1",)]


def test_a_query_keeps_reading_the_commit_it_was_planned_on(spark: SparkSession, lake: Lake, repository: str) -> None:
    uri = f"lakefs://{repository}/run/numbers"
    write(numbers(spark, 10), uri)
    lake.commit(repository, "run", "ten", {})
    planned = read(spark, uri)
    write(numbers(spark, 20), uri)
    lake.commit(repository, "run", "twenty", {})
    assert planned.count() == 10
    assert read(spark, uri).count() == 20
    assert read(spark, f"lakefs://{repository}/run~1/numbers").count() == 10


def test_reading_what_is_not_committed_says_to_commit(spark: SparkSession, lake: Lake, repository: str) -> None:
    uri = f"lakefs://{repository}/run/numbers"
    write(numbers(spark, 10), uri)
    found = failure(lambda: read(spark, uri))
    assert type(found) is errors.LakeError
    assert "numbers/part-00000.parquet" in str(found)
    assert "commit run before reading" in str(found)


@pytest.mark.parametrize(("ref", "repo"), [("absent", None), ("main", None), ("main", "absent-repository")])
def test_a_missing_reference_repository_or_prefix_is_not_found(
    spark: SparkSession, repository: str, ref: str, repo: str | None
) -> None:
    found = failure(lambda: read(spark, f"lakefs://{repo or repository}/{ref}/numbers"))
    assert isinstance(found, errors.LakeNotFoundError)


def test_a_truncated_object_is_unreadable_and_named(spark: SparkSession, lake: Lake, repository: str) -> None:
    data = parquet_format.to_bytes(pa.table({"a": list(range(1000))}))
    lake.put(LakeUri(repository, "run", "t/a.parquet"), data)
    lake.put(LakeUri(repository, "run", "t/b.parquet"), data[: len(data) // 2])
    lake.commit(repository, "run", "t", {})
    found = failure(lambda: read(spark, f"lakefs://{repository}/run/t").collect())
    assert isinstance(found, errors.UnreadableDataError)
    assert "t/b.parquet" in str(found)
    lake.put(LakeUri(repository, "run", "t/a.parquet"), b"")
    lake.commit(repository, "run", "t", {})
    assert isinstance(failure(lambda: read(spark, f"lakefs://{repository}/run/t")), errors.UnreadableDataError)


def test_a_missing_column_or_another_type_names_file_and_column(
    spark: SparkSession, lake: Lake, repository: str
) -> None:
    put_table(lake, f"lakefs://{repository}/run/t/a.parquet", pa.table({"a": [1], "b": [2]}))
    put_table(lake, f"lakefs://{repository}/run/t/b.parquet", pa.table({"a": [1], "renamed": [2]}))
    put_table(lake, f"lakefs://{repository}/run/u/a.parquet", pa.table({"a": [1]}))
    put_table(lake, f"lakefs://{repository}/run/u/b.parquet", pa.table({"a": ["one"]}))
    lake.commit(repository, "run", "t", {})
    for folder, words in (("t", "['b'] are missing"), ("u", "column a")):
        found = failure(lambda folder=folder: read(spark, f"lakefs://{repository}/run/{folder}").collect())
        assert isinstance(found, errors.DataError)
        assert f"{folder}/b.parquet" in str(found)
        assert words in str(found)


def test_writing_to_main_is_denied_and_to_no_branch_refused(spark: SparkSession, lake: Lake, repository: str) -> None:
    found = failure(lambda: write(numbers(spark, 1), f"lakefs://{repository}/main/numbers"))
    assert isinstance(found, errors.LakeDeniedError)
    assert paths(lake, f"lakefs://{repository}/main") == []
    found = failure(lambda: write(numbers(spark, 1), f"lakefs://{repository}/absent/numbers"))
    assert "create it first" in str(found)


def test_appending_and_overwriting_a_whole_repository_are_refused(spark: SparkSession, repository: str) -> None:
    writer = numbers(spark, 1).write.format("lakefs")
    found = failure(lambda: writer.mode("append").save(f"lakefs://{repository}/run/numbers"))
    assert isinstance(found, errors.ConfigurationError)
    found = failure(lambda: writer.mode("overwrite").save(f"lakefs://{repository}/run/"))
    assert isinstance(found, errors.ConfigurationError)


def test_options_name_another_server_than_the_environment(
    spark: SparkSession, lake_connection: LakeConnection, repository: str
) -> None:
    uri = f"lakefs://{repository}/run/numbers"
    good = {"endpoint": lake_connection.endpoint, "access_key": lake_connection.access_key}
    write(numbers(spark, 1), uri, **good, secret_key=lake_connection.secret_key)
    found = failure(lambda: read(spark, uri, **good, secret_key="wrong"))
    assert isinstance(found, errors.LakeDeniedError)
    found = failure(lambda: read(spark, uri, **good))
    assert isinstance(found, errors.ConfigurationError)


@pytest.mark.timeout(420)  # a server of its own, started cold
def test_spark_connect_writes_and_reads(lake: Lake, repository: str, lakefs_environment: dict[str, str]) -> None:
    script = Path(__file__).with_name("connect_roundtrip.py")
    done = subprocess.run(
        [sys.executable, str(script), repository],
        env=lakefs_environment,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert "read 1000 249750.0" in done.stdout, done.stderr[-4000:]
    assert paths(lake, f"lakefs://{repository}/run/connect") == [
        "connect/date=2013-01-01/part-00000.parquet",
        "connect/date=2013-01-01/part-00001.parquet",
    ]


FILTER_PUSHDOWN = "spark.sql.python.filterPushdown.enabled"


@pytest.fixture
def days(lake: Lake, repository: str) -> str:
    """Three partitions, the last two unreadable: a read that touches one of those fails."""
    whole = parquet_format.to_bytes(pa.table({"delay": [1.0, 2.0]}))
    for day, body in (("2013-01-01", whole), ("2013-01-02", whole[:-9]), ("2013-02-01", whole[:-9])):
        lake.put(LakeUri(repository, "run", f"t/date={day}/part-00000.parquet"), body)
    lake.commit(repository, "run", "t", {})
    return f"lakefs://{repository}/run/t"


@pytest.mark.parametrize(
    "condition",
    [
        "date = '2013-01-01'",
        "date < '2013-01-02'",
        "date in ('2013-01-01', '2012-12-31')",
        "not date >= '2013-01-02'",
        "date like '2013-01-01%' and delay > 0",
    ],
)
def test_a_filter_on_a_partition_column_leaves_the_other_partitions_unread(
    spark: SparkSession, days: str, condition: str
) -> None:
    with configured(spark, FILTER_PUSHDOWN, "true"):
        assert read(spark, days).where(condition).count() == 2
        assert read(spark, days).where(condition).rdd.getNumPartitions() == 1


def test_a_filter_no_partition_can_match_reads_nothing(spark: SparkSession, days: str) -> None:
    with configured(spark, FILTER_PUSHDOWN, "true"):
        assert read(spark, days).where("date > '2014'").count() == 0


def test_filters_give_the_same_rows_whether_spark_pushes_them_or_not(
    spark: SparkSession, lake: Lake, repository: str
) -> None:
    uri = f"lakefs://{repository}/run/t"
    for day in ("2013-01-01", "2013-01-02", "__HIVE_DEFAULT_PARTITION__"):
        put_table(lake, f"{uri}/date={day}/a.parquet", pa.table({"a": [1, 2, None]}))
    lake.commit(repository, "run", "t", {})
    conditions = ("date <=> null", "date <> '2013-01-01'", "a > 1 or date is null", "a = 1 and date >= '2013-01-02'")
    for condition in conditions:
        found = []
        for pushed in ("false", "true"):
            with configured(spark, FILTER_PUSHDOWN, pushed):
                found.append(sorted(map(str, read(spark, uri).where(condition).collect())))
        assert found[0] == found[1]
        assert found[0]


def test_a_partition_column_of_a_given_type_prunes_as_that_type(spark: SparkSession, days: str) -> None:
    with configured(spark, FILTER_PUSHDOWN, "true"):
        frame = spark.read.format("lakefs").schema("delay double, date date").load(days)
        assert frame.where("date = date'2013-01-01'").count() == 2


def test_named_columns_alone_are_read_in_their_order(spark: SparkSession, lake: Lake, repository: str) -> None:
    uri = f"lakefs://{repository}/run/t"
    put_table(lake, f"{uri}/date=1/a.parquet", pa.table({"a": [1], "b": ["x"], "c": [1.5]}))
    lake.commit(repository, "run", "t", {})
    assert [tuple(row) for row in read(spark, uri, columns="date, c").collect()] == [("1", 1.5)]
    for wrong in ("a,absent", "a,a", ""):
        found = failure(lambda wrong=wrong: read(spark, uri, columns=wrong))
        assert isinstance(found, errors.ConfigurationError)


def test_a_large_file_is_split_between_row_groups_without_losing_a_row(
    spark: SparkSession, lake: Lake, repository: str
) -> None:
    uri = f"lakefs://{repository}/run/numbers"
    rows = 2 * parquet_format.ROW_GROUP_ROWS + 17
    write(numbers(spark, rows, 1), uri)
    lake.commit(repository, "run", "numbers", {})
    assert read(spark, uri).rdd.getNumPartitions() == 1
    split = read(spark, uri, split_bytes="1000")
    assert split.rdd.getNumPartitions() == 3
    assert split.agg(F.count("id"), F.sum("id"), F.countDistinct("text")).first() == (
        rows,
        rows * (rows - 1) // 2,
        rows,
    )
    found = failure(lambda: read(spark, uri, split_bytes="0").count())
    assert isinstance(found, errors.ConfigurationError)
