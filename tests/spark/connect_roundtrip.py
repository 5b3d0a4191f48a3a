"""Write and read through Spark Connect; run by ``test_datasource.py`` in a process of its own.

A process can hold a classic session or a Connect one, not both. Prints the rows it read back and their sum.
"""

from __future__ import annotations

import sys

from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812 - Spark's own idiom

from slipway.connections import LakeConnection
from slipway.lake.client import Lake, connection_from_environment
from slipway.lake.datasource import LakeFSDataSource


def main(repository: str) -> None:
    connection: LakeConnection = connection_from_environment()
    options = {
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": "1",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.python.filterPushdown.enabled": "true",
    }
    spark = SparkSession.builder.remote("local[1]").config(map=options).getOrCreate()
    spark.dataSource.register(LakeFSDataSource)
    rows = spark.range(0, 1000, numPartitions=2).withColumn("half", F.col("id") / 2)
    rows.write.format("lakefs").mode("overwrite").save(f"lakefs://{repository}/run/connect/date=2013-01-01")
    Lake(connection).commit(repository, "run", "through Connect", {})
    found = spark.read.format("lakefs").load(f"lakefs://{repository}/run/connect").where("date = '2013-01-01'")
    print("read", found.count(), found.agg(F.sum("half")).first()[0])
    spark.stop()


if __name__ == "__main__":
    main(sys.argv[1])
