"""What every Spark job shares: parse arguments, read raw tables from the lake, transform, write features.

A job module offers ``INPUTS`` and a pure ``transform``; a task on a Spark session calls :func:`run`, and
``spark-submit spark_jobs/<job>.py --source … --output … --partition …`` does the same through :func:`main`.
"""

from __future__ import annotations

import argparse
import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from pyspark.errors import AnalysisException, PySparkException  # noqa: TID253  a leaf: this is what runs on Spark
from pyspark.sql import DataFrame, SparkSession  # noqa: TID253

from slipway.errors import ConfigurationError, ContractError
from slipway.lake import jvm_files
from slipway.lake.datasource import LakeFSDataSource
from slipway.lake.spark_error import slipway_error, spark_gone
from slipway.lake.uri import LakeUri

Transform = Callable[[Mapping[str, DataFrame], str], DataFrame]
"""(raw tables by name, partition ``YYYY-MM-DD``) -> features; no I/O, Spark's own functions only."""


_NONE: Mapping[str, str] = MappingProxyType({})


def run(
    spark: SparkSession,
    transform: Transform,
    inputs: Sequence[str],
    *,
    source: str,
    output: str,
    partition: str,
    options: Mapping[str, str] = _NONE,
) -> None:
    """Read ``<source>/raw/<table>/date=<partition>`` for every input, transform, write ``output`` (replacing it).

    ``source`` is ``lakefs://repository/ref``; ``output`` a folder ``lakefs://repository/branch/path``. A branch must
    hold its raw tables committed, or be named by a commit id. ``options`` are the data source's.

    Raises:
        UnavailableError: Spark went away.
        SlipwayError: what the lake or the transform found wrong, also where Spark reports it as an error of its own.
        ConfigurationError: the transform is no query Spark can run, such as one that names a missing column.
    """
    try:
        spark.dataSource.register(LakeFSDataSource)
        root = LakeUri.parse(source)
        tables = {table: jvm_files.table(spark, root / f"raw/{table}/date={partition}", options) for table in inputs}
        features = transform(tables, partition)
        features.write.format("lakefs").options(**options).mode("overwrite").save(output)
    except PySparkException as error:
        found = slipway_error(error) or spark_gone(error) or _wrong_job(error, transform, partition)
        if found is None:
            raise
        raise found from error


def _wrong_job(error: PySparkException, transform: Transform, partition: str) -> ConfigurationError | None:
    """An error of the job itself, which a retry would only meet again."""
    # A Python worker that died while it planned a read comes as an analysis error, too, and may live next time.
    if not isinstance(error, AnalysisException) or error.getCondition() == "PYTHON_DATA_SOURCE_ERROR":
        return None
    name = Path(inspect.getfile(transform)).name
    return ConfigurationError(
        f"partition {partition}: expected of spark_jobs/{name} a query Spark can run, came: {error}; correct its "
        "transform, or the raw tables' contracts if the feed has changed"
    )


def main(transform: Transform, inputs: Sequence[str], argv: Sequence[str] | None = None) -> None:
    """Entry point of ``spark-submit``."""
    parser = argparse.ArgumentParser(description="Turn one partition of raw tables into features.")
    parser.add_argument("--source", required=True, help="lakefs://repository/ref holding raw/<table>/date=…")
    parser.add_argument("--output", required=True, help="lakefs://repository/branch/features/date=…")
    parser.add_argument("--partition", required=True, help="YYYY-MM-DD")
    arguments = parser.parse_args(argv)
    spark = SparkSession.builder.getOrCreate()
    run(
        spark,
        transform,
        inputs,
        source=arguments.source,
        output=arguments.output,
        partition=arguments.partition,
    )


def require(tables: Mapping[str, DataFrame], columns: Mapping[str, Sequence[str]]) -> None:
    """Stop before Spark does when a raw table lacks a column the job reads.

    Raises:
        ContractError: names the table, every missing column and the nearest one present.
    """
    for table, names in columns.items():
        present = tables[table].columns
        missing = []
        for name in (name for name in names if name not in present):
            nearest = difflib.get_close_matches(name, [other for other in present if other not in names], n=1)
            missing.append(f"{name!r}" + (f" (renamed to {nearest[0]!r}?)" if nearest else ""))
        if missing:
            raise ContractError(
                f"raw table {table!r}: expected columns {', '.join(names)}; missing: {', '.join(missing)}; "
                "correct the feed, or the job and the table's contract together"
            )
