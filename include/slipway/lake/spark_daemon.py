"""Spark's Python worker daemon with the data source's imports done once.

Spark asks Python for every step of a data source (create it, plan its reads and writes, each task, the commit), in a
process forked from a daemon per session and kind of step. The plain daemon imports nothing, so each fork would load
the lakeFS SDK, pandas and pyarrow again: about ten seconds of a core for one day's features. ``PYSPARK_PYTHON`` names
a launcher that starts this module in place of ``pyspark.daemon``, whose entry point it then runs.

A worker collects garbage after every step it ran. What was loaded here is frozen, so that this neither walks those
objects nor copies the pages they lie on: half a second of a core for each read or write.
"""

from __future__ import annotations

import gc
import runpy

import pandas  # noqa: F401 - loaded for the workers
import pyarrow.parquet  # noqa: F401 - loaded for the workers
import pyspark.sql.worker.commit_data_source_write  # noqa: TID253 - a leaf: this is what runs on Spark
import pyspark.sql.worker.create_data_source  # noqa: TID253 - a leaf: this is what runs on Spark
import pyspark.sql.worker.data_source_pushdown_filters  # noqa: TID253 - a leaf: this is what runs on Spark
import pyspark.sql.worker.plan_data_source_read  # noqa: TID253 - a leaf: this is what runs on Spark
import pyspark.sql.worker.write_into_data_source  # noqa: TID253 - a leaf: this is what runs on Spark
import pyspark.worker  # noqa: F401, TID253 - loaded for the workers

import slipway.lake.client
import slipway.lake.datasource  # noqa: F401 - loaded for the workers

if __name__ == "__main__":
    gc.freeze()
    runpy.run_module("pyspark.daemon", run_name="__main__")
