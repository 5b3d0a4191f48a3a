"""Features of many days in one Spark session; runs in a process of its own, with the code of another checkout.

``python -P jobs.py JOB.py DAY SOURCE OUTPUT [DAY SOURCE OUTPUT …]``. It imports nothing of this project: what
``slipway`` means is said by ``PYTHONPATH``. A job is asked the way ``spark-submit`` asks it.
"""

from __future__ import annotations

import runpy
import sys


def main(arguments: list[str]) -> None:
    """Run the job for each day, then end its session: a Spark Connect server would keep one, and its workers."""
    from pyspark.sql import SparkSession

    job, *rest = arguments
    for day, source, output in zip(rest[0::3], rest[1::3], rest[2::3], strict=True):
        sys.argv = [job, "--source", source, "--output", output, "--partition", day]
        runpy.run_path(job, run_name="__main__")
        print(f"features of {day} are made", flush=True)  # a process's log is its standard output
    SparkSession.builder.getOrCreate().stop()


if __name__ == "__main__":
    main(sys.argv[1:])
