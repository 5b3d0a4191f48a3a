"""The few calls of Airflow's REST API (v2) that the demo and the command line need."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from slipway.errors import UnavailableError

_TRACEBACK = "Traceback (most recent call last)"
_REASON_LINES = 20


@dataclass(frozen=True)
class DagRun:
    """One run of a DAG."""

    dag_id: str
    run_id: str
    state: str
    partition: str | None
    conf: dict[str, Any]
    created: dt.datetime
    end: dt.datetime | None = None


@dataclass(frozen=True)
class TaskRun:
    """One task instance of a run, with its running time in seconds."""

    task_id: str
    label: str
    state: str | None
    start: dt.datetime | None
    end: dt.datetime | None


@dataclass(frozen=True)
class ImportProblem:
    """A DAG file Airflow cannot read."""

    file: str
    trace: str

    @property
    def reason(self) -> str:
        """The exception itself with all lines of its message, up to 20: the trace's end, without the calls above."""
        lines = self.trace.strip().splitlines()
        header = max((n for n, line in enumerate(lines) if line.startswith(_TRACEBACK)), default=None)
        if header is not None:
            # Python indents the calls; a message's own indented lines come after its first.
            begin = next((n for n in range(header + 1, len(lines)) if not lines[n].startswith(" ")), header)
            lines = lines[begin:]
        more = [f"… and {len(lines) - _REASON_LINES} lines more"] if len(lines) > _REASON_LINES else []
        return "\n".join([*lines[:_REASON_LINES], *more])


class AirflowApi:
    """A logged-in session at one Airflow."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=60, trust_env=False)
        self._login = {"username": user, "password": password}

    def log_in(self) -> None:
        """Get a token; called again when it expires.

        Raises:
            UnavailableError: Airflow does not answer or refuses the login.
        """
        answer = self._send("POST", "/auth/token", json=self._login)
        if answer.status_code != 201:
            raise UnavailableError(
                f"Airflow refused the login ({answer.status_code}); is this the stack of this folder?"
            )
        self._http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def has_dag(self, dag_id: str) -> bool:
        return self._call("GET", f"/dags/{dag_id}", missing=True) is not None

    def unpause(self, dag_id: str) -> None:
        self._call("PATCH", f"/dags/{dag_id}", json={"is_paused": False})

    def import_errors(self) -> list[ImportProblem]:
        """What is wrong with DAG files."""
        found = self._pages("/importErrors", "import_errors")
        return [ImportProblem(error["filename"], error["stack_trace"]) for error in found]

    def backfill(self, dag_id: str, first: dt.date, last: dt.date, *, most: int, reprocess: str = "failed") -> None:
        """Create a backfill of the days not yet done; one that is under way already is left to itself.

        ``reprocess`` says which days get another run: ``none``, ``failed`` or ``completed`` (all of them).
        """
        body = {
            "dag_id": dag_id,
            "from_date": f"{first}T00:00:00Z",
            "to_date": f"{last}T23:59:59Z",
            "reprocess_behavior": reprocess,
            "max_active_runs": most,
        }
        self._call("POST", "/backfills", json=body, exists=True)

    def active_backfills(self, dag_id: str) -> int:
        """How many backfills of a DAG are not closed; Airflow allows one at a time."""
        found = self._call("GET", "/backfills", params={"dag_id": dag_id})
        return sum(backfill["completed_at"] is None for backfill in found["backfills"])

    def runs(self, dag_id: str) -> list[DagRun]:
        """All runs, newest first."""
        return [
            DagRun(
                dag_id,
                run["dag_run_id"],
                run["state"],
                run.get("partition_key"),
                run.get("conf") or {},
                dt.datetime.fromisoformat(run["queued_at"]),
                _time(run.get("end_date")),
            )
            for run in self._pages(f"/dags/{dag_id}/dagRuns", "dag_runs", order_by="-run_after")
        ]

    def under_way(self, dag_id: str) -> int:
        """How many runs have not ended."""
        params = {"state": ["queued", "running"], "limit": 1}
        found = self._call("GET", f"/dags/{dag_id}/dagRuns", params=params)
        return int(found["total_entries"])

    def state(self, dag_id: str, run_id: str) -> str | None:
        """How a run stands; ``None`` if there is none with that id."""
        found = self._call("GET", f"/dags/{dag_id}/dagRuns/{run_id}", missing=True)
        return None if found is None else str(found["state"])

    def tasks(self, run: DagRun) -> list[TaskRun]:
        return [
            TaskRun(
                task_id=task["task_id"],
                label=task.get("rendered_map_index") or task["task_id"],
                state=task["state"],
                start=_time(task["start_date"]),
                end=_time(task["end_date"]),
            )
            for task in self._pages(f"/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances", "task_instances")
        ]

    def xcom(self, run: DagRun, task_id: str, key: str) -> Any:
        """What a task left under a key; text where the task itself was not run."""
        where = f"/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/{task_id}/xcomEntries/{key}"
        value = self._call("GET", where, params={"deserialize": "false", "stringify": "false"})["value"]
        return json.loads(value) if isinstance(value, str) else value

    def retry(self, run: DagRun) -> None:
        """Clear what failed in a run, so that the scheduler goes on from there."""
        body = {"dry_run": False, "only_failed": True, "dag_run_id": run.run_id}
        self._call("POST", f"/dags/{run.dag_id}/clearTaskInstances", json=body)

    def trigger(self, dag_id: str, conf: dict[str, Any]) -> None:
        self._call("POST", f"/dags/{dag_id}/dagRuns", json={"logical_date": None, "conf": conf})

    def open_run(self, dag_id: str, run_id: str, conf: dict[str, Any]) -> bool:
        """Start a run with an id; ``False`` if there is one already, which is left to itself."""
        body = {"logical_date": None, "conf": conf, "dag_run_id": run_id}
        return self._call("POST", f"/dags/{dag_id}/dagRuns", exists=True, json=body) is not None

    def _pages(self, path: str, key: str, **params: str) -> Iterator[dict[str, Any]]:
        # Airflow cuts a page to its `maximum_page_limit` (100) without a word.
        seen, total = 0, 1
        while seen < total:
            found = self._call("GET", path, params={**params, "limit": 100, "offset": seen})
            yield from found[key]
            seen, total = seen + len(found[key]), found["total_entries"] if found[key] else 0

    def _call(self, method: str, path: str, *, missing: bool = False, exists: bool = False, **request: Any) -> Any:
        answer = self._send(method, f"/api/v2{path}", **request)
        if answer.status_code == 401:
            self.log_in()
            answer = self._send(method, f"/api/v2{path}", **request)
        if (missing and answer.status_code == 404) or (exists and answer.status_code == 409):
            return None
        if answer.is_error:
            raise UnavailableError(f"Airflow answered {method} {path} with {answer.status_code}: {answer.text[:500]}")
        return answer.json() if answer.content else None

    def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **request)
        except httpx.TransportError as error:
            raise UnavailableError(
                f"Airflow does not answer at {self._http.base_url}: {error}; `make status` says what runs, "
                "var/log/ says why not"
            ) from error


def _time(text: str | None) -> dt.datetime | None:
    return dt.datetime.fromisoformat(text) if text else None
