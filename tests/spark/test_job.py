"""A whole job against the project's lakeFS-protocol server: raw tables in, features out."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyspark.errors import PySparkException
from pyspark.sql import functions as F  # noqa: N812 - Spark's own idiom
from pyspark.sql.datasource import DataSource

import flight_features
import job
from slipway.errors import ConfigurationError, ContractError, LakeNotFoundError
from slipway.feed.fetch import fetch
from slipway.feed.parquet import to_parquet
from slipway.lake.client import Lake
from slipway.lake.uri import LakeUri
from slipway.pipeline.load import load_pipeline
from slipway.quality.check import check
from slipway.quality.parquet import read_parquet
from slipway.settings import settings

PIPELINE = load_pipeline(settings().pipelines / "flight_delay.yaml")


def land(lake: Lake, repository: str, day: str, **replaced: pa.Table) -> str:
    """The day's raw tables, committed on the branch ``run``; the commit's id."""
    for name, table in (fetch(PIPELINE.feed, dt.date.fromisoformat(day)) | replaced).items():
        uri = LakeUri(repository, "run", f"raw/{name}/date={day}/part-00000.parquet")
        lake.put(uri, to_parquet(table))
    return lake.commit(repository, "run", f"raw {day}", {})


def run(spark: Any, repository: str, source: str, day: str, transform: Any = flight_features.transform) -> str:
    output = f"lakefs://{repository}/run/features/date={day}"
    source = f"lakefs://{repository}/{source}"
    job.run(spark, transform, flight_features.INPUTS, source=source, output=output, partition=day)
    return output


def objects(lake: Lake, prefix: str) -> dict[str, bytes]:
    uri = LakeUri.parse(prefix)
    return {found.path: lake.get(LakeUri(uri.repository, uri.ref, found.path)) for found in lake.list(uri)}


@pytest.mark.parametrize(("day", "weather_rows"), [("2013-01-05", 72), ("2013-12-31", 0)])
def test_a_landed_day_becomes_one_file_of_features_and_the_same_bytes_again(
    spark: Any, lake: Lake, repository: str, day: str, weather_rows: int
) -> None:
    commit = land(lake, repository, day)
    raw = objects(lake, f"lakefs://{repository}/{commit}/raw/weather/date={day}")
    assert [read_parquet(data, path).num_rows for path, data in raw.items()] == [weather_rows]

    first = objects(lake, run(spark, repository, commit, day))
    again = objects(lake, run(spark, repository, "run/", day))

    assert again == first
    ((path, data),) = first.items()
    assert path == f"features/date={day}/part-00000.parquet"
    features = read_parquet(data, path)
    assert check("features", features, PIPELINE.features.contract, day).failures == ()
    assert features.column("flight_key").to_pylist() == sorted(features.column("flight_key").to_pylist())


def test_a_day_that_was_not_landed_is_not_found(spark: Any, lake: Lake, repository: str) -> None:
    with pytest.raises(LakeNotFoundError, match="raw/flights/date=2013-01-05"):
        run(spark, repository, "main", "2013-01-05")


def test_a_renamed_column_stops_the_job_and_writes_nothing(spark: Any, lake: Lake, repository: str) -> None:
    flights = fetch(PIPELINE.feed, dt.date(2013, 1, 5))["flights"]
    renamed = flights.rename_columns(["departure_delay" if c == "dep_delay" else c for c in flights.column_names])
    commit = land(lake, repository, "2013-01-05", flights=renamed)

    with pytest.raises(ContractError, match=r"'dep_delay' \(renamed to 'departure_delay'\?\)"):
        run(spark, repository, commit, "2013-01-05")

    assert lake.list(LakeUri(repository, "run", "features/")) == []


def misspelt(tables: Any, partition: str) -> Any:
    return tables["flights"].select("dep_dealy")


def dividing(tables: Any, partition: str) -> Any:
    return tables["flights"].select(F.udf(lambda _: 1 // 0, "int")("dep_delay"))


class Dying(DataSource):
    @classmethod
    def name(cls) -> str:
        return "dying"

    def schema(self) -> str:
        raise ConnectionResetError("the worker is gone")


def planned_by_a_dying_worker(tables: Any, partition: str) -> Any:
    spark = tables["flights"].sparkSession
    spark.dataSource.register(Dying)
    return spark.read.format("dying").load()


def test_a_transform_spark_cannot_analyse_is_named_and_not_tried_again(spark: Any, lake: Lake, repository: str) -> None:
    commit = land(lake, repository, "2013-01-05")
    with pytest.raises(ConfigurationError, match=r"2013-01-05.*spark_jobs/test_job\.py[\s\S]*dep_dealy") as caught:
        run(spark, repository, commit, "2013-01-05", misspelt)
    assert caught.value.retryable is False
    assert "correct its transform" in str(caught.value)


@pytest.mark.parametrize("transform", [dividing, planned_by_a_dying_worker])
def test_what_fails_while_spark_works_stays_sparks_own_error_and_may_be_tried_again(
    spark: Any, lake: Lake, repository: str, transform: Any
) -> None:
    commit = land(lake, repository, "2013-01-05")
    with pytest.raises(PySparkException):
        run(spark, repository, commit, "2013-01-05", transform)


def test_spark_submit_arguments_are_all_required(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        job.main(flight_features.transform, flight_features.INPUTS, ["--source", "lakefs://a/main"])

    assert "--output, --partition" in capsys.readouterr().err


def test_spark_submit_arguments_run_the_job(spark: Any, lake: Lake, repository: str) -> None:
    commit = land(lake, repository, "2013-01-05")
    output = f"lakefs://{repository}/run/features/date=2013-01-05"

    job.main(
        flight_features.transform,
        flight_features.INPUTS,
        ["--source", f"lakefs://{repository}/{commit}", "--output", output, "--partition", "2013-01-05"],
    )

    assert [Path(path).name for path in objects(lake, output)] == ["part-00000.parquet"]
