"""``make bench-backfill``: daily partitions of ``flight_delay`` through Airflow, against two ways without Slipway.

* *loop*: a plain Python loop on one warm local Spark session (``tests.bench.plain_day``): take the day from the feed,
  write it as Parquet to disk, read that in Spark, call the same ``transform`` and write its features as Parquet. It
  runs before the stack starts and again after it has stopped; the mean counts.
* *slipway*: a backfill of the same days on a stack that has ingested none of them, from the request to the end of the
  last run. Every run lands, checks, makes features, checks them and publishes: a branch, two commits and a merge.
* *spark-submit*: the same backfill of an Airflow DAG on the same stack that runs ``spark-submit`` once per day.

The loop and Slipway have made two other days before, so that both have a warm Spark. All three make the same rows, or
the benchmark fails. Writes ``var/bench/backfill.json``.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from slipway.embedded import spark_server
from slipway.embedded.airflow_api import AirflowApi, DagRun
from slipway.embedded.layout import Layout
from slipway.embedded.supervision import Supervisor
from slipway.lake.client import Lake
from slipway.lake.uri import LakeUri
from tests.project_copy import ROOT, Project, copy_project

FIRST = dt.date(2013, 1, 1)
WARM = (dt.date(2013, 6, 1), dt.date(2013, 6, 2))
PATIENCE_S = 1800.0
AT_ONCE, SUBMITS_AT_ONCE = 8, 4
"""Runs of a backfill at once. Of Slipway's, two have Spark and the others wait; every ``spark-submit`` works."""
POLL_S = 1.0
"""Between looks at the runs, which cost the server more than most of a task's calls; ends are taken from the runs."""
LOGS = ROOT / "var" / "bench" / "backfill-logs"
INGEST, PLAIN = "flight_delay.ingest", "plain_spark_submit"
KINDS = {
    "SparkConnectServer": "spark",
    "spark_daemon": "spark",
    "airflow worker": "tasks",
    "airflow scheduler": "scheduler",
    "airflow api": "api-server",
    "airflow dag-processor": "dag-processor",
    "airflow triggerer": "triggerer",
    "postgres": "postgres",
    "lakefs_server": "lake",
    "slipway.gateway": "rest",
    "slipway.embedded.fleet": "rest",
    "mlflow": "rest",
}
"""Part of a command line -> where its seconds of a core are counted."""
PLAIN_DAG = """
import datetime as dt
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

with DAG({dag!r}, schedule="@daily", start_date=dt.datetime(2013, 1, 1, tzinfo=dt.UTC),
         end_date=dt.datetime(2013, 12, 31, tzinfo=dt.UTC), catchup=False):
    BashOperator(task_id="day", bash_command="{submit} {job} --day {{{{ ds }}}} --folder {folder}",
                 append_env=True, env={environment!r})
"""


@dataclass(frozen=True)
class Ingested:
    """A backfill that is through."""

    seconds: float
    cores: Mapping[str, float]
    """Seconds of a core by kind of process."""
    tasks: Mapping[str, float]
    """Task -> median seconds."""
    states: Mapping[str, int]
    """``task state`` -> how many ended so."""
    runs: list[DagRun]


def loop(days: list[dt.date], folder: Path) -> float:
    """Seconds of the plain loop, in a Python of its own."""
    command = [sys.executable, "-m", "tests.bench.backfill", "--loop", str(folder), "--days", str(len(days))]
    environment = {**os.environ, "PYTHONPATH": ":".join(str(ROOT / part) for part in ("include", "spark_jobs", "."))}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"the plain loop failed:\n{done.stderr[-4000:]}")
    return float(done.stdout.splitlines()[-1])


def _loop_here(days: list[dt.date], folder: Path) -> None:
    from tests.bench.plain_day import feed, make_day, session  # imports Spark

    spark, source = session(), feed()
    for day in WARM:
        make_day(spark, source, day, folder)
    begin = time.perf_counter()
    for day in days:
        make_day(spark, source, day, folder)
    print(time.perf_counter() - begin)


def add_plain_dag(project: Project, folder: Path) -> None:
    """Put the DAG that runs ``spark-submit`` beside Slipway's."""
    home = spark_server.spark_home()
    environment = {
        "PYTHONPATH": f"{project.root}/include:{project.root}/spark_jobs",
        "SPARK_HOME": str(home),
        "PYSPARK_PYTHON": sys.executable,
    }
    text = PLAIN_DAG.format(
        dag=PLAIN,
        submit=home / "bin" / "spark-submit",
        job=ROOT / "tests/bench/plain_day.py",
        folder=folder,
        environment=environment,
    )
    (project.root / "dags" / "plain.py").write_text(text, encoding="utf-8")


@contextmanager
def stack(project: Project) -> Iterator[AirflowApi]:
    """The local stack of the copy; its logs stay in ``var/bench`` where something fails."""
    try:
        project.run(sys.executable, "-m", "slipway.embedded", "up")
        yield project.airflow()
    except BaseException:
        shutil.copytree(project.root / "var" / "log", LOGS, dirs_exist_ok=True)
        shutil.copytree(project.root / "var" / "airflow" / "logs", LOGS / "tasks", dirs_exist_ok=True)
        print(f"logs: {LOGS}")
        raise
    finally:
        project.run(sys.executable, "-m", "slipway.embedded", "down")


def supervisor_pid(project: Project) -> int:
    """The process all of the stack's descend from."""
    pid = Supervisor(Layout.of(project.place())).pid()
    if pid is None:
        raise SystemExit("expected the stack to run, its supervisor does not")
    return pid


def warm(airflow: AirflowApi) -> None:
    """Ingest other days, so that Spark has its session; yesterday's scheduled run, too, begins with the DAG."""
    airflow.unpause(INGEST)
    for day in WARM:
        airflow.trigger(INGEST, {"partition": day.isoformat()})
    _until_done(airflow, INGEST, len(WARM), lambda run: run.conf.get("partition") is not None)
    while any(run.state in ("queued", "running") for run in airflow.runs(INGEST)):
        time.sleep(POLL_S)


def backfill(
    airflow: AirflowApi,
    dag: str,
    days: list[dt.date],
    stack_pid: int,
    say: Callable[[str], None],
    *,
    reprocess: str = "failed",
    most: int = AT_ONCE,
) -> Ingested:
    """Backfill the days of a DAG; returns when every run has ended well."""
    airflow.unpause(dag)
    while airflow.active_backfills(dag):  # the scheduler closes one within 30 s of its last run
        time.sleep(POLL_S)
    earlier = {run.run_id for run in airflow.runs(dag)}
    before, begin = core_seconds(stack_pid), dt.datetime.now(dt.UTC)
    airflow.backfill(dag, days[0], days[-1], most=most, reprocess=reprocess)
    runs = _until_done(
        airflow, dag, len(days), lambda run: run.run_id.startswith("backfill") and run.run_id not in earlier
    )
    after = core_seconds(stack_pid)
    seconds = (max(run.end for run in runs if run.end) - begin).total_seconds()
    say(f"{dag}: {len(runs)} runs in {seconds:.1f} s")
    spans: dict[str, list[float]] = {}
    states: Counter[str] = Counter()
    for run in runs:
        for task in airflow.tasks(run):
            states[f"{task.task_id} {task.state}"] += 1
            if task.start and task.end:
                spans.setdefault(task.task_id, []).append((task.end - task.start).total_seconds())
    cores = {kind: after[kind] - before.get(kind, 0) for kind in after}
    return Ingested(seconds, cores, {name: statistics.median(found) for name, found in spans.items()}, states, runs)


def _until_done(airflow: AirflowApi, dag: str, count: int, ours: Callable[[DagRun], bool]) -> list[DagRun]:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if airflow.under_way(dag):
            time.sleep(POLL_S)
            continue
        runs = [run for run in airflow.runs(dag) if ours(run)]
        if failed := [run.run_id for run in runs if run.state == "failed"]:
            raise SystemExit(f"{dag}: expected every run to succeed, failed: {failed}")
        if sum(run.state == "success" for run in runs) == count:
            return runs
        time.sleep(POLL_S)
    raise SystemExit(f"{dag}: expected {count} runs to succeed within {PATIENCE_S:.0f} s")


def core_seconds(stack_pid: int) -> dict[str, float]:
    """Of a core so far, by kind of process below the stack's supervisor, its ended children included."""
    found = dict.fromkeys(KINDS.values(), 0.0)
    for process in psutil.Process(stack_pid).children(recursive=True):
        try:
            command, spent = " ".join(process.cmdline()), process.cpu_times()
        except psutil.Error:
            continue
        if kind := next((kind for part, kind in KINDS.items() if part in command), None):
            found[kind] += spent.user + spent.system + spent.children_user + spent.children_system
    return found


def published(project: Project, days: list[dt.date]) -> dict[dt.date, pa.Table]:
    """The features on ``main``."""
    lake = Lake(project.local().lake)
    found = {}
    for day in days:
        place = LakeUri("flight-delay", "main", f"features/date={day}")
        parts = [pq.read_table(pa.BufferReader(lake.get(LakeUri(place.repository, "main", item.path))))
                 for item in lake.list(place)]  # fmt: skip
        found[day] = pa.concat_tables(parts)
    return found


def same_rows(ours: Mapping[dt.date, pa.Table], folder: Path) -> bool:
    """Whether plain folders hold the same rows, day by day."""
    for day, table in ours.items():
        plain = pq.read_table(folder / "features" / f"date={day}", partitioning=None)
        key = [("flight_key", "ascending")]
        if not plain.select(table.column_names).sort_by(key).cast(table.schema).equals(table.sort_by(key)):
            return False
    return True


def run(days: list[dt.date], folder: Path, say: Callable[[str], None], *, submit: bool) -> dict[str, Any]:
    """The whole benchmark; ``submit`` says whether the slow third way runs as well."""
    (folder / "project").mkdir()
    project = copy_project(folder / "project")
    add_plain_dag(project, folder / "submit")
    loops = [loop(days, folder / "loop")]
    say(f"loop: {len(days)} days in {loops[0]:.1f} s")
    with stack(project) as airflow:
        warm(airflow)
        pid = supervisor_pid(project)
        ours = backfill(airflow, INGEST, days, pid, say)
        plain = backfill(airflow, PLAIN, days, pid, say, most=SUBMITS_AT_ONCE) if submit else None
        rows = published(project, days)
    loops.append(loop(days, folder / "loop-again"))
    say(f"loop again: {len(days)} days in {loops[1]:.1f} s")
    looped = statistics.mean(loops)
    others = [folder / "loop", *([folder / "submit"] if submit else [])]
    return {
        "partitions": len(days),
        "slipway_seconds": round(ours.seconds, 2),
        "loop_seconds": round(looped, 2),
        "spark_submit_seconds": round(plain.seconds, 2) if plain else None,
        "vs_loop": round(ours.seconds / looped, 3),
        "vs_spark_submit": round(plain.seconds / ours.seconds, 2) if plain else None,
        "same_rows": all(same_rows(rows, other) for other in others),
        "rows": sum(table.num_rows for table in rows.values()),
        "loops": [round(value, 2) for value in loops],
        "core_seconds": {kind: round(value, 1) for kind, value in sorted(ours.cores.items())},
        "task_medians": {name: round(value, 2) for name, value in ours.tasks.items()},
        "cores": os.cpu_count(),
        "at_once": {"slipway": AT_ONCE, "spark_submit": SUBMITS_AT_ONCE},
    }


def main() -> None:
    """Run it and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=31, help="from 2013-01-01 on")
    parser.add_argument("--no-submit", action="store_true", help="leave out the ten minutes of spark-submit")
    parser.add_argument("--loop", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=Path("var/bench/backfill.json"))
    arguments = parser.parse_args()
    days = [FIRST + dt.timedelta(days=number) for number in range(arguments.days)]
    if arguments.loop:
        _loop_here(days, arguments.loop)
        return
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as folder:
        Path(folder).chmod(0o755)  # the database's user walks through it
        found = run(days, Path(folder), console.print, submit=not arguments.no_submit)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    console.print_json(data=found)
    console.print(f"written to {arguments.out}")
    if not found["same_rows"]:
        raise SystemExit("expected the same rows from all ways, they differ")


if __name__ == "__main__":
    main()
