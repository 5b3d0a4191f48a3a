"""``make bench-spark-io``: the ``lakefs`` data source against Spark's own Parquet on local disk.

One Spark session writes the same cached rows to the project's own server and to a folder, and reads both back into
Spark's ``noop`` sink, which asks for every column of every row. The two sides take turns, after rounds that warm up
both, and the medians are compared. Each round's rows differ in one column, so that no upload is one the server already
has. ``tests.bench.arrow_floor``, a Python source that does nothing, is measured beside them: no source written in
Python can do better than its ratios. Writes ``var/bench/spark-io.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - Spark's own idiom
from rich.console import Console

from slipway.connections import LakeConnection
from slipway.lake.client import Lake
from slipway.lake.datasource import LakeFSDataSource
from slipway.lake.uri import LakeUri
from tests.bench import arrow_floor
from tests.contract.lake.server import running_server

ROOT = Path(__file__).resolve().parents[2]
INCLUDE = ROOT / "include"
REPOSITORY = "bench"
WARM_ROUNDS = 2
PARTITIONS = 4
KINDS = ("jvm", "python", "server")
AIRPORTS = 105
TAIL_NUMBERS = 4_044


def rows(spark: SparkSession, count: int) -> DataFrame:
    """Rows as flights have them: keys of few and of many values, measures with nulls, text, timestamps."""
    number = F.col("id")
    chance = F.xxhash64(number)
    frame = spark.range(0, count, numPartitions=PARTITIONS).select(
        number.alias("flight_id"),
        F.pmod(chance, F.lit(28)).cast("int").alias("departure_hour"),
        (F.pmod(chance, F.lit(4_983)) + 17).cast("int").alias("distance"),
        F.when(F.pmod(chance, F.lit(40)) != 0, F.pmod(chance, F.lit(1_500)) / 7.0).alias("delay_minutes"),
        (F.sin(number.cast("double")) * 30).alias("temperature"),
        F.cos(number.cast("double")).cast("float").alias("wind"),
        F.concat(F.lit("N"), F.pmod(chance, F.lit(TAIL_NUMBERS)).cast("string")).alias("tail_number"),
        F.concat(F.lit("AP"), F.pmod(chance, F.lit(AIRPORTS)).cast("string")).alias("destination"),
        F.concat(F.lit("flight-"), number.cast("string")).alias("label"),
        F.timestamp_seconds(F.lit(1_356_998_400) + number * 6).alias("scheduled"),
    )
    return frame.cache()


class Bench:
    """One session, one server, one folder, and the seconds each operation took."""

    def __init__(self, spark: SparkSession, lake: Lake, frame: DataFrame, folder: Path) -> None:
        self._spark, self._lake, self._frame, self._folder = spark, lake, frame, folder
        self._rows = frame.count()
        self._costs: dict[str, list[Cost]] = {}
        self.files: dict[str, list[int]] = {}

    def round(self, number: int, *, counted: bool) -> None:
        """Write and read both sides once; which goes first alternates."""
        frame = self._frame.withColumn("round", F.lit(number))
        sides = (self._lake_side, self._parquet_side)
        for side in (*(sides if number % 2 else reversed(sides)), self._floor):
            for name, cost in side(frame, number).items():
                if counted:
                    self._costs.setdefault(name, []).append(cost)

    def costs(self) -> dict[str, list[Cost]]:
        return self._costs

    def _lake_side(self, frame: DataFrame, number: int) -> dict[str, Cost]:
        uri = LakeUri(REPOSITORY, "run", f"round-{number}")
        write = timed(lambda: frame.write.format("lakefs").mode("overwrite").save(str(uri)))
        self._lake.commit(REPOSITORY, "run", f"round {number}", {})
        self.files["lakefs_bytes"] = [found.size for found in self._lake.list(uri)]
        read = timed(lambda: consume(self._spark.read.format("lakefs").load(str(uri))))
        return {"lakefs_write": write, "lakefs_read": read}

    def _parquet_side(self, frame: DataFrame, number: int) -> dict[str, Cost]:
        folder = self._folder / f"round-{number}"
        write = timed(lambda: frame.write.mode("overwrite").parquet(str(folder)))
        self.files["parquet_bytes"] = [file.stat().st_size for file in folder.glob("*.parquet")]
        read = timed(lambda: consume(self._spark.read.parquet(str(folder))))
        if number:
            shutil.rmtree(folder)
        return {"parquet_write": write, "parquet_read": read}

    def _floor(self, frame: DataFrame, number: int) -> dict[str, Cost]:
        """The same rows to and from a Python source that does nothing with them."""
        path = self._folder.parent / "floor.arrow"
        if not number:
            arrow_floor.keep(frame.limit(arrow_floor.BATCH_ROWS).toArrow(), str(path))
        options = {"table": str(path), "rows": str(self._rows), "partitions": str(PARTITIONS)}
        reader = self._spark.read.format("arrow-floor").schema(frame.schema).options(**options)
        write = timed(lambda: frame.write.format("arrow-floor").mode("append").save())
        return {"floor_write": write, "floor_read": timed(lambda: consume(reader.load()))}

    def same_rows(self) -> bool:
        """Whether both sides of the first round hold the same rows, by count and a sum of hashes of whole rows."""
        ours = self._spark.read.format("lakefs").load(f"lakefs://{REPOSITORY}/run/round-0")
        theirs = self._spark.read.parquet(str(self._folder / "round-0"))
        return fingerprint(ours) == fingerprint(theirs)


def consume(frame: DataFrame) -> None:
    frame.write.format("noop").mode("overwrite").save()


def fingerprint(frame: DataFrame) -> tuple[Any, ...]:
    hashed = F.xxhash64(*sorted(frame.columns)).cast("decimal(38,0)")
    return tuple(frame.agg(F.count("*"), F.sum(hashed)).first() or ())


@dataclass(frozen=True)
class Cost:
    """What one operation took: ``seconds`` on the clock, and of a core in each kind of process."""

    seconds: float
    cores: Mapping[str, float]


def timed(work: Callable[[], object]) -> Cost:
    before, begin = core_seconds(), time.perf_counter()
    work()
    seconds, after = time.perf_counter() - begin, core_seconds()
    return Cost(seconds, {kind: after[kind] - before[kind] for kind in KINDS})


def core_seconds() -> dict[str, float]:
    """Of a core so far, in Spark's JVM, its Python workers (which outlive a job) and the lake's server."""
    found = dict.fromkeys(KINDS, 0.0)
    for process in psutil.Process().children(recursive=True):
        try:
            command, spent = " ".join(process.cmdline()), process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        if "lakefs_server" in command:
            found["server"] += spent.user + spent.system
        elif "spark_daemon" in command:
            found["python"] += spent.user + spent.system
        elif "java" in command:
            found["jvm"] += spent.user + spent.system
    return found


@contextmanager
def session(connection: LakeConnection, folder: Path) -> Iterator[SparkSession]:
    """A warm local session with Slipway's own worker launcher, as ``make up`` starts its Spark."""
    os.environ.update(
        PYTHONPATH=f"{INCLUDE}:{ROOT}",
        PYSPARK_PYTHON=str(INCLUDE / "slipway" / "lake" / "spark-python"),
        SLIPWAY_PYTHON=sys.executable,
        OPENBLAS_NUM_THREADS="1",
        ARROW_DEFAULT_MEMORY_POOL="system",
        LAKECTL_SERVER_ENDPOINT_URL=connection.endpoint,
        LAKECTL_CREDENTIALS_ACCESS_KEY_ID=connection.access_key,
        LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY=connection.secret_key,
    )
    builder = SparkSession.builder.master(f"local[{os.cpu_count()}]").appName("bench-spark-io")
    for key, value in {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.memory": "4g",
        "spark.local.dir": str(folder / "local"),
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.sql.session.timeZone": "UTC",
    }.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    spark.dataSource.register(LakeFSDataSource)
    spark.dataSource.register(arrow_floor.ArrowFloor)
    try:
        yield spark
    finally:
        spark.stop()


def figures(count: int, bench: Bench, same: bool) -> dict[str, Any]:
    costs = bench.costs()
    medians = {name: statistics.median(cost.seconds for cost in found) for name, found in costs.items()}
    return {
        "rows": count,
        "write_ratio": round(medians["parquet_write"] / medians["lakefs_write"], 3),
        "read_ratio": round(medians["parquet_read"] / medians["lakefs_read"], 3),
        "same_rows": same,
        "floor_write_ratio": round(medians["parquet_write"] / medians["floor_write"], 3),
        "floor_read_ratio": round(medians["parquet_read"] / medians["floor_read"], 3),
        "seconds": {name: round(value, 2) for name, value in medians.items()},
        "all_seconds": {name: [round(cost.seconds, 2) for cost in found] for name, found in costs.items()},
        "core_seconds": {name: by_kind(found) for name, found in costs.items()},
        "rounds": len(costs["lakefs_write"]),
        "cores": os.cpu_count(),
        "files": PARTITIONS,
        **{name: sum(sizes) for name, sizes in bench.files.items()},
    }


def by_kind(costs: Sequence[Cost]) -> dict[str, float]:
    """Median seconds of a core in each kind of process."""
    return {kind: round(statistics.median(cost.cores[kind] for cost in costs), 2) for kind in KINDS}


def run(count: int, rounds: int, folder: Path, console: Console) -> dict[str, Any]:
    """The whole benchmark; ``folder`` holds the server's data, Spark's own and its scratch files."""
    with running_server(folder) as connection, session(connection, folder) as spark:
        lake = Lake(connection)
        lake.ensure_repository(REPOSITORY)
        lake.create_branch(REPOSITORY, "run", "main")
        frame = rows(spark, count)
        console.print(f"{frame.count():,} rows are cached")
        bench = Bench(spark, lake, frame, folder / "parquet")
        for number in range(WARM_ROUNDS + rounds):
            bench.round(number, counted=number >= WARM_ROUNDS)
            console.print(f"round {number + 1} of {WARM_ROUNDS + rounds}")
        return figures(count, bench, bench.same_rows())


def main() -> None:
    """Run it and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("var/bench/spark-io.json"))
    arguments = parser.parse_args()
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as folder:
        found = run(arguments.rows, arguments.rounds, Path(folder), console)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    console.print_json(data=found)
    console.print(f"written to {arguments.out}")
    if not found["same_rows"]:
        raise SystemExit("expected the same rows from both sides, they differ")


if __name__ == "__main__":
    main()
