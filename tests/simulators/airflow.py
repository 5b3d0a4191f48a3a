"""``AirflowSimulator``: what the demo asks of Airflow's REST API, in memory; its DAG runs are made by the test."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

from slipway.embedded.airflow_api import DagRun, ImportProblem, TaskRun

BEGIN = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)


class AirflowSimulator:
    """DAG runs by DAG id, newest first. ``starts``: whether a complete ingest starts training by itself."""

    def __init__(self, *, starts: bool = True) -> None:
        self.starts = starts
        self.dag_runs: dict[str, list[DagRun]] = {}
        self.unpaused: set[str] = set()
        self.triggered: list[tuple[str, dict[str, Any]]] = []
        self.backfills = 0
        self.problems: list[ImportProblem] = []
        self.task_states: dict[tuple[str, str], str] = {}
        self.dags = {"p.ingest", "p.train", "p.release"}

    def has_dag(self, dag_id: str) -> bool:
        return dag_id in self.dags

    def import_errors(self) -> list[ImportProblem]:
        return self.problems

    def unpause(self, dag_id: str) -> None:
        self.unpaused.add(dag_id)

    def backfill(self, dag_id: str, first: dt.date, last: dt.date, *, most: int) -> None:
        """Every day that has not succeeded succeeds at once; failed runs are run again."""
        self.backfills += 1
        days = [(first + dt.timedelta(days=n)).isoformat() for n in range((last - first).days + 1)]
        done = {run.partition for run in self.runs(dag_id) if run.state == "success"}
        new = [day for day in days if day not in done]
        for day in new:
            self.add(dag_id, "success", partition=day)
        if new and self.starts:
            self._train(partition=f"{first:%Y-%m}")

    def _train(self, **fields: Any) -> None:
        self.add("p.train", "success", **fields)
        self.add("p.release", "success", conf={"version": "1"})

    def runs(self, dag_id: str) -> list[DagRun]:
        return list(self.dag_runs.get(dag_id, []))

    def tasks(self, run: DagRun) -> list[TaskRun]:
        state = self.task_states.get((run.dag_id, "register"), run.state)
        return [TaskRun("register" if run.dag_id == "p.train" else "work", "register", state, BEGIN, BEGIN)]

    def retry(self, run: DagRun) -> None:
        runs = self.dag_runs[run.dag_id]
        runs[runs.index(run)] = replace(run, state="success")

    def trigger(self, dag_id: str, conf: dict[str, Any]) -> None:
        self.triggered.append((dag_id, conf))
        if dag_id == "p.train":
            self._train(conf=conf)
        else:
            self.add(dag_id, "success", conf=conf)

    def add(self, dag_id: str, state: str, partition: str | None = None, conf: dict[str, Any] | None = None) -> DagRun:
        runs = self.dag_runs.setdefault(dag_id, [])
        # Later than any clock of a test, in the order they were made.
        count = sum(map(len, self.dag_runs.values()))
        created = dt.datetime.now(dt.UTC) + dt.timedelta(milliseconds=count)
        run = DagRun(dag_id, f"{dag_id}-{count}", state, partition, conf or {}, created)
        runs.insert(0, run)
        return run
