"""Run one task as a worker does: Airflow's own task runner, with the supervisor's side of its channel in memory."""

from __future__ import annotations

import datetime as dt
import os
import signal
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog
from airflow.sdk.api.datamodels._generated import DagRun, DagRunState, DagRunType, TaskInstance, TIRunContext
from airflow.sdk.exceptions import ErrorType
from airflow.sdk.execution_time import comms, task_runner

RUN_ID = "manual__2013-03-01"
NOW = dt.datetime(2013, 3, 1, tzinfo=dt.UTC)


@dataclass
class SupervisorSimulator:
    """What a task says to its supervisor, and the task's state store, which outlives a try."""

    xcoms: dict[str, Any] = field(default_factory=dict)
    store: dict[str, Any] = field(default_factory=dict)

    def send(self, msg: Any) -> Any:
        match msg:
            case comms.SetXCom():
                self.xcoms[msg.key] = msg.value
            case comms.SetTaskStateStore():
                self.store[msg.key] = msg.value
            case comms.GetTaskStateStore() if msg.key in self.store:
                return comms.TaskStateStoreResult(value=self.store[msg.key])
            case comms.GetTaskStateStore():
                return comms.ErrorResponse(error=ErrorType.TASK_STORE_NOT_FOUND)
            case comms.GetConnection():
                return comms.ErrorResponse(error=ErrorType.CONNECTION_NOT_FOUND, detail={"conn_id": msg.conn_id})
        return None


@dataclass(frozen=True)
class Outcome:
    """What became of a task: ``success``, ``up_for_retry`` or ``failed``; its error; what it left in XCom."""

    state: str
    error: str
    xcoms: dict[str, Any]

    @property
    def returned(self) -> Any:
        return self.xcoms.get("return_value")


def run_task(
    task: Any, supervisor: SupervisorSimulator | None = None, *, try_number: int = 1, run_id: str = RUN_ID
) -> Outcome:
    """Run a task of a DAG that has retries left."""
    supervisor = supervisor or SupervisorSimulator()
    ti = _instance(task, try_number, run_id)
    with _supervised(supervisor):
        state, _, error = task_runner.run(ti, ti.get_template_context(), structlog.get_logger("task"))
    return Outcome(state.value, f"{type(error).__name__}: {error}" if error else "", supervisor.xcoms)


def _instance(task: Any, try_number: int, run_id: str) -> Any:
    run = DagRun(
        dag_id=task.dag_id,
        run_id=run_id,
        logical_date=NOW,
        data_interval_start=NOW,
        data_interval_end=NOW,
        run_after=NOW,
        start_date=NOW,
        end_date=None,
        run_type=DagRunType.MANUAL,
        state=DagRunState.RUNNING,
        consumed_asset_events=[],
        partition_key=None,
    )
    known = TaskInstance(
        id=uuid.uuid4(),
        task_id=task.task_id,
        dag_id=task.dag_id,
        run_id=run.run_id,
        try_number=try_number,
        dag_version_id=uuid.uuid4(),
        map_index=-1,
    )
    return task_runner.RuntimeTaskInstance.model_construct(
        **known.model_dump(),
        task=task,
        bundle_instance=None,
        _ti_context_from_server=TIRunContext(dag_run=run, max_tries=1, should_retry=True),
        max_tries=1,
        start_date=NOW,
        state="running",
    )


@contextmanager
def _supervised(supervisor: SupervisorSimulator) -> Iterator[None]:
    on_term, environment = signal.getsignal(signal.SIGTERM), dict(os.environ)
    task_runner.SUPERVISOR_COMMS = supervisor
    try:
        yield
    finally:
        del task_runner.SUPERVISOR_COMMS
        signal.signal(signal.SIGTERM, on_term)
        # The runner leaves the run's ids in the environment of its process.
        os.environ.clear()
        os.environ.update(environment)
