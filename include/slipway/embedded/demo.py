"""``make demo``: 14 days of flights through Airflow's own backfill, a trained model, a staged release to 20 devices.

The demo only asks Airflow for a backfill and then watches: training starts by itself when enough partitions are in,
registration starts the release. Running it again finds what is done and goes on from there.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from slipway.embedded.airflow_api import AirflowApi, DagRun, TaskRun
from slipway.errors import ConfigurationError, SlipwayError
from slipway.pipeline.spec import Pipeline

POLL_SECONDS = 1.5
GRACE_SECONDS = 45.0
"""After the last day is in, Airflow starts a training by itself within a few seconds, if it does at all."""
LONG_AGO = dt.datetime.min.replace(tzinfo=dt.UTC)
DONE = frozenset({"success", "skipped", "failed", "upstream_failed", "removed"})


@dataclass(frozen=True)
class Journey:
    """What the demo takes from data to devices."""

    pipeline: str
    first: dt.date
    last: dt.date

    @classmethod
    def of(cls, pipeline: Pipeline, first: dt.date | None, days: int | None) -> Journey:
        """So many days from ``first`` on; from the pipeline's start, and as many as a training waits for, where none.

        Raises:
            ConfigurationError: ``first`` lies before the pipeline's start, or the days in more than one month.
        """
        begin, count = first or pipeline.start, days or pipeline.training.min_new_partitions
        if begin < pipeline.start:
            raise ConfigurationError(
                f"--first: expected a day from {pipeline.start} (the pipeline's start) on, got {begin}"
            )
        last = begin + dt.timedelta(days=count - 1)
        if f"{last:%Y-%m}" != f"{begin:%Y-%m}":
            raise ConfigurationError(
                f"expected days of one month, since training counts new partitions by month; got {begin} to {last}: "
                "choose another --first"
            )
        return cls(pipeline.name, begin, last)

    @property
    def month(self) -> str:
        """The partition key of the training these days set off."""
        return f"{self.first:%Y-%m}"

    @property
    def days(self) -> list[str]:
        count = (self.last - self.first).days + 1
        return [(self.first + dt.timedelta(days=n)).isoformat() for n in range(count)]


class DemoError(SlipwayError):
    """A run of the demo failed; the message says which task and where its log is."""


class Demo:
    """One journey, watched through Airflow's API."""

    def __init__(self, airflow: AirflowApi, journey: Journey, console: Console, timeout: float = 900) -> None:
        self._airflow = airflow
        self._journey = journey
        self._console = console
        self._deadline = time.monotonic() + timeout
        self.runs: dict[str, list[DagRun]] = {}

    def run(self) -> None:
        """Ingest, train, release; returns when the release has ended well.

        Raises:
            DemoError: a run failed or the time is over.
        """
        self._wait_for_dags()
        since = self._ingest()
        until = self._journey.last.isoformat()
        trained = self._follow(
            "train",
            "training, compiling, registering",
            lambda run: (
                (run.partition == self._journey.month or run.conf.get("until") == until) and run.created >= since
            ),
            # Airflow forgets days that came in while the training DAG was paused.
            otherwise=lambda: self._airflow.trigger(f"{self._journey.pipeline}.train", {"until": until}),
        )
        if any(task.task_id == "register" and task.state == "skipped" for task in self._airflow.tasks(trained)):
            self._console.print("the new model does not beat what it was compared with by the pipeline's margins")
            if not self._airflow.runs(f"{self._journey.pipeline}.release"):
                raise DemoError("no model was good enough to be released; the log of the task accept says by how much")
            self._follow("release", "the release before", lambda run: run.created <= trained.created)
            return
        self._follow("release", "releasing in phases", lambda run: run.created >= trained.created)

    def tasks(self, line: str) -> list[TaskRun]:
        """The task runs of a line this demo watched."""
        return [task for run in self.runs.get(line, []) for task in self._airflow.tasks(run)]

    def _wait_for_dags(self) -> None:
        lines = [f"{self._journey.pipeline}.{line}" for line in ("ingest", "train", "release")]
        with self._progress("reading the DAGs", len(lines)) as advance:
            while missing := [dag for dag in lines if not self._airflow.has_dag(dag)]:
                if errors := self._airflow.import_errors():
                    told = "\n".join(f"{error.file}: {error.trace}" for error in errors)
                    raise DemoError(f"Airflow cannot read its DAG files:\n{told}")
                advance(len(lines) - len(missing), "")
                self._pause(f"Airflow has not read {missing[0]}")
        for dag in lines:
            self._airflow.unpause(dag)

    def _ingest(self) -> dt.datetime:
        """Returns from when on a training run is about these days: any time when all were ingested before."""
        dag = f"{self._journey.pipeline}.ingest"
        days = set(self._journey.days)
        # Airflow takes up failed runs again some moments after it is asked to.
        before = _latest([run for run in self._airflow.runs(dag) if run.partition in days])
        waiting = {run.run_id for run in before if run.state == "failed"}
        complete = {run.partition for run in before if run.state == "success"} == days
        since = LONG_AGO if complete else dt.datetime.now(dt.UTC)
        self._airflow.backfill(dag, self._journey.first, self._journey.last, most=8)
        with self._progress("ingesting days", len(days)) as advance:
            while True:
                runs = _latest([run for run in self._airflow.runs(dag) if run.partition in days])
                self.runs["ingest"] = runs
                waiting &= {run.run_id for run in runs if run.state == "failed"}
                self._refuse_failed([run for run in runs if run.run_id not in waiting])
                done = sum(run.state == "success" for run in runs)
                advance(done, f"{sum(run.state == 'running' for run in runs)} running")
                if done == len(days):
                    return since
                self._pause(f"{done} of {len(days)} days are ingested")

    def _follow(
        self, line: str, title: str, belongs: Callable[[DagRun], bool], otherwise: Callable[[], None] | None = None
    ) -> DagRun:
        """Watch the newest run that belongs; where none comes by itself, ``otherwise`` starts it."""
        dag = f"{self._journey.pipeline}.{line}"
        # A run that had failed before this demo is cleared once, to go on from where it stopped.
        failed_before = {run.run_id for run in self._airflow.runs(dag) if run.state == "failed"}
        grace = time.monotonic() + GRACE_SECONDS
        with self._progress(title, 1) as advance:
            while True:
                if runs := [run for run in self._airflow.runs(dag) if belongs(run)]:
                    self.runs[line] = runs[:1]
                    tasks = self._airflow.tasks(runs[0])
                    now = ", ".join(dict.fromkeys(task.label for task in tasks if task.state == "running"))
                    advance(sum(task.state in DONE for task in tasks), now, total=len(tasks))
                    if runs[0].state == "success":
                        return runs[0]
                    if runs[0].run_id in failed_before:
                        failed_before.clear()
                        self._again(runs[0])
                    else:
                        self._refuse_failed(runs[:1])
                elif otherwise and time.monotonic() > grace:
                    otherwise()
                    otherwise = None
                self._pause(f"{dag} has not finished")

    def _again(self, run: DagRun) -> None:
        # A release that was rolled back is over; trying again is a new release.
        if run.dag_id.endswith(".release"):
            self._airflow.trigger(run.dag_id, run.conf)
        else:
            self._airflow.retry(run)

    def _refuse_failed(self, runs: list[DagRun]) -> None:
        for run in runs:
            if run.state == "failed":
                names = [task.label for task in self._airflow.tasks(run) if task.state == "failed"]
                raise DemoError(
                    f"{run.dag_id} run {run.run_id} failed in {', '.join(names) or 'no task'}; open it in Airflow for "
                    "its log, mend the cause, and run `make demo` again: it goes on from there"
                )

    def _pause(self, what: str) -> None:
        if time.monotonic() > self._deadline:
            raise DemoError(f"time is over: {what}; the stack is still up, `make status` says what runs")
        time.sleep(POLL_SECONDS)

    @contextmanager
    def _progress(self, title: str, total: int) -> Iterator[Callable[..., None]]:
        columns = (SpinnerColumn(), TextColumn("{task.description:<34}"), BarColumn(24))
        columns2 = (TextColumn("{task.completed}/{task.total}"), TimeElapsedColumn(), TextColumn("{task.fields[now]}"))
        with Progress(*columns, *columns2, console=self._console) as progress:
            bar = progress.add_task(title, total=total, now="")

            def advance(completed: int, now: str, total: int | None = None) -> None:
                progress.update(bar, completed=completed, now=now, total=total)

            yield advance
            shown = progress.tasks[0].total
            progress.update(bar, completed=shown, now="")


def _latest(runs: list[DagRun]) -> list[DagRun]:
    """The newest run of every partition, from runs ordered newest first."""
    newest: dict[str | None, DagRun] = {}
    for run in runs:
        newest.setdefault(run.partition, run)
    return list(newest.values())
