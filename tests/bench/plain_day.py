"""One day of ``flight_delay`` without Slipway: fetch, transform, Parquet in plain folders. What a script would do.

``spark-submit tests/bench/plain_day.py --day 2013-01-01 --folder plain`` makes one day in a Spark of its own;
``tests.bench.backfill`` calls :func:`make_day` in a loop on one warm session.
"""

from __future__ import annotations

import argparse
import datetime as dt
from pathlib import Path

from pyspark.sql import SparkSession

import flight_features
from slipway.feed.fetch import fetch
from slipway.feed.parquet import to_parquet
from slipway.pipeline.load import find_pipeline
from slipway.pipeline.spec import Feed
from slipway.settings import settings

PIPELINE = "flight_delay"
SESSION = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.session.timeZone": "UTC",
}


def session() -> SparkSession:
    """A local Spark session on two cores, as the stack's server has."""
    builder = SparkSession.builder.master("local[2]").appName("plain")
    for key, value in SESSION.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def feed() -> Feed:
    """Where the days come from."""
    return find_pipeline(settings().pipelines, PIPELINE).feed


def make_day(spark: SparkSession, source: Feed, day: dt.date, folder: Path) -> None:
    """Write ``raw/<table>/date=<day>`` and ``features/date=<day>`` below ``folder``."""
    tables = {}
    for name, table in fetch(source, day).items():
        file = folder / "raw" / name / f"date={day}" / "part-00000.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(to_parquet(table))
        tables[name] = spark.read.parquet(str(file))
    features = flight_features.transform(tables, day.isoformat())
    features.write.mode("overwrite").parquet(str(folder / "features" / f"date={day}"))


def main() -> None:
    """Entry point of ``spark-submit``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--day", type=dt.date.fromisoformat, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    arguments = parser.parse_args()
    spark = session()
    make_day(spark, feed(), arguments.day, arguments.folder)
    spark.stop()


if __name__ == "__main__":
    main()
