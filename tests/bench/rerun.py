"""``make bench-rerun``: what it costs to backfill unchanged days again, to the time of the first time.

On a stack that has ingested none of them, the daily partitions of ``flight_delay`` are backfilled twice in a row. The
second backfill reprocesses what is completed, so Airflow really starts a run for every day, and every run decides from
fingerprints that there is nothing to make. How many jobs Spark ran meanwhile is counted from Spark's own event log.
Writes ``var/bench/rerun.json``.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.bench.backfill import AT_ONCE, FIRST, INGEST, Ingested, backfill, stack, supervisor_pid, warm
from tests.project_copy import Project, copy_project

AGAIN_AT_ONCE = 100
"""Runs at once the second time: a run whose features are there waits, and needs neither core nor Spark."""
KEY = "hit_or_miss"
_EVENT_LOG = '"spark.ui.enabled": "false",'


def log_events(project: Project) -> Path:
    """Let the copy's Spark server write an event log; returns its folder."""
    folder = project.root / "var" / "spark-events"
    folder.mkdir(parents=True)
    folder.chmod(0o777)  # whoever the server runs as
    configuration = {
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": folder.as_uri(),
        "spark.eventLog.compress": "false",
    }
    path = project.root / "include" / "slipway" / "embedded" / "spark_server.py"
    text = path.read_text(encoding="utf-8")
    if _EVENT_LOG not in text:
        raise SystemExit(f"expected {_EVENT_LOG} in {path}, to add an event log after it")
    added = " ".join(f"{json.dumps(name)}: {json.dumps(value)}," for name, value in configuration.items())
    path.write_text(text.replace(_EVENT_LOG, f"{_EVENT_LOG} {added}"), encoding="utf-8")
    return folder


def never_recheck(project: Project) -> None:
    """Make no hit again for comparison, as is done with a small share of them: this is about what hits cost."""
    path = project.root / "include" / "pipelines" / "flight_delay.yaml"
    path.write_text(path.read_text(encoding="utf-8") + "\nrecheck: 0\n", encoding="utf-8")


def spark_jobs(folder: Path) -> int:
    """Jobs that Spark has started, by its event log."""
    logs = [path for path in folder.rglob("*") if path.is_file()]
    return sum(path.read_text(encoding="utf-8").count('{"Event":"SparkListenerJobStart"') for path in logs)


def run(days: list[dt.date], folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """The whole benchmark."""
    (folder / "project").mkdir()
    project = copy_project(folder / "project")
    events = log_events(project)
    never_recheck(project)
    with stack(project) as airflow:
        warm(airflow)
        pid, before = supervisor_pid(project), spark_jobs(events)
        first = backfill(airflow, INGEST, days, pid, say)
        between = spark_jobs(events)
        if between == before:
            raise SystemExit("expected Spark's event log to show the jobs of the first time, it shows none")
        again = backfill(airflow, INGEST, days, pid, say, reprocess="completed", most=AGAIN_AT_ONCE)
        after = spark_jobs(events)
        decisions = [airflow.xcom(run, "features", KEY)["milliseconds"] for run in again.runs]
    return {
        "partitions": len(days),
        "first_seconds": round(first.seconds, 2),
        "again_seconds": round(again.seconds, 2),
        "ratio": round(again.seconds / first.seconds, 4),
        "spark_jobs_first": between - before,
        "spark_jobs_again": after - between,
        "decision_p50_ms": round(statistics.median(decisions), 1),
        "first": _details(first),
        "again": _details(again),
        "cores": os.cpu_count(),
        "at_once": {"first": AT_ONCE, "again": AGAIN_AT_ONCE},
    }


def _details(found: Ingested) -> dict[str, Any]:
    return {
        "core_seconds": {kind: round(value, 1) for kind, value in sorted(found.cores.items())},
        "task_medians": {name: round(value, 2) for name, value in found.tasks.items()},
        "states": found.states,
    }


def main() -> None:
    """Run it and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=31, help="from 2013-01-01 on")
    parser.add_argument("--out", type=Path, default=Path("var/bench/rerun.json"))
    arguments = parser.parse_args()
    days = [FIRST + dt.timedelta(days=number) for number in range(arguments.days)]
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as folder:
        Path(folder).chmod(0o755)  # the database's user walks through it
        found = run(days, Path(folder), console.print)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    console.print_json(data=found)
    console.print(f"written to {arguments.out}")
    if found["spark_jobs_again"]:
        raise SystemExit(f"expected no Spark job the second time, found {found['spark_jobs_again']}")


if __name__ == "__main__":
    main()
