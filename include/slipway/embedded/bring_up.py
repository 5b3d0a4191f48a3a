"""Starting everything as soon as what it needs works: services side by side, Airflow's database in between."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from slipway.embedded import airflow_home, postgres
from slipway.embedded.airflow_api import AirflowApi
from slipway.embedded.airflow_import import import_settings
from slipway.embedded.environment import Environment
from slipway.embedded.probes import Probes
from slipway.embedded.services import DATABASE_OF_AIRFLOW, Service, airflow_variables
from slipway.embedded.supervision import ProcessState, Supervisor
from slipway.errors import UnavailableError

_PAUSE_SECONDS = 0.1
_ATTEMPTS = 4
"""A service that needed so many starts within one `up` will not come by itself."""
_LOG_LINES = 15
_DAGS = "dags"
_DAGS_SECONDS = 1.0
"""Between two questions to Airflow which DAGs it has read."""


class Progress(Protocol):
    """Who watches a start."""

    def ready(self, title: str, seconds: float, problems: Sequence[str] = ()) -> None:
        """Something works now, so many seconds after the beginning, but for these problems."""

    def waiting(self, titles: tuple[str, ...]) -> None:
        """What is still to come."""


class BringUp:
    """One run of ``up`` against a supervisor that runs."""

    def __init__(
        self, environment: Environment, services: tuple[Service, ...], supervisor: Supervisor, progress: Progress
    ) -> None:
        self._environment = environment
        self._services = services
        self._supervisor = supervisor
        self._progress = progress
        self._begin = time.monotonic()
        self._ready: set[str] = set()
        self._launched: set[str] = set()
        self._pids: dict[str, set[int]] = {}
        self._asked = 0.0

    def run(self, timeout: float, new_database: bool) -> None:
        """Return when everything works, and Airflow has its connections and has read the DAGs of every pipeline.

        Raises UnavailableError naming what does not work, with the end of its log.
        """
        probes = Probes(self._environment)
        with ThreadPoolExecutor(max_workers=2) as background:
            jobs: dict[str, Future[object]] = {}
            try:
                while not self._complete(jobs):
                    states = self._supervisor.states()
                    self._launch_possible()
                    self._notice_ready(probes, states)
                    self._start_jobs(background, jobs, new_database)
                    self._notice_dags(jobs)
                    self._check_alive(states, timeout)
                    time.sleep(_PAUSE_SECONDS)
            finally:
                probes.close()

    def _complete(self, jobs: dict[str, Future[object]]) -> bool:
        """Whether all is done; an exception of a background job comes out here."""
        for job in jobs.values():
            if job.done():
                job.result()
        return not self._awaited() and "import" in jobs and jobs["import"].done()

    def _awaited(self) -> tuple[str, ...]:
        titles = [service.title for service in self._services if service.name not in self._ready]
        return (*titles, *([] if _DAGS in self._ready else ["DAGs"]))

    def _launch_possible(self) -> None:
        for service in self._services:
            if service.name not in self._launched and self._ready.issuperset(service.needs):
                self._supervisor.launch(service.name)
                self._launched.add(service.name)

    def _notice_ready(self, probes: Probes, states: dict[str, ProcessState]) -> None:
        for service in self._services:
            if service.name in self._ready or service.name not in self._launched:
                continue
            if probes.works(service, states.get(service.name)):
                if service.name == "postgres":
                    self._make_databases()
                self._mark(service.name, service.title)
        self._progress.waiting(self._awaited())

    def _mark(self, name: str, title: str, problems: Sequence[str] = ()) -> None:
        self._ready.add(name)
        self._progress.ready(title, time.monotonic() - self._begin, problems)

    def _make_databases(self) -> None:
        secrets = self._environment.secrets
        owners = {
            "airflow": secrets.get("internal", "airflow_database_password"),
            "mlflow": secrets.get("internal", "mlflow_database_password"),
            "gateway": secrets.get("internal", "gateway_database_password"),
        }
        ledger = self._environment.file.connection("slipway_ledger")
        owners[ledger.conn_schema] = ledger.conn_password
        port = self._environment.port("slipway_ledger")
        postgres.ensure_databases(port, secrets.get("internal", "postgres_password"), owners)

    def _start_jobs(self, background: ThreadPoolExecutor, jobs: dict[str, Future[object]], new: bool) -> None:
        def begin(name: str, work: Callable[[], object]) -> None:
            if name not in jobs:
                jobs[name] = background.submit(work)

        if "postgres" in self._ready:
            begin("migrate", lambda: self._migrate(new))
        if "migrate" in jobs and jobs["migrate"].done() and DATABASE_OF_AIRFLOW not in self._ready:
            jobs["migrate"].result()
            self._mark(DATABASE_OF_AIRFLOW, "Airflow database")
        if "airflow-api-server" in self._ready:
            begin("import", self._import)

    def _notice_dags(self, jobs: dict[str, Future[object]]) -> None:
        """A file Airflow cannot read is told, and does not keep the rest from being used."""
        now = time.monotonic()
        if _DAGS in self._ready or "import" not in jobs or not jobs["import"].done() or now < self._asked:
            return
        self._asked = now + _DAGS_SECONDS
        local = self._environment.local
        airflow = AirflowApi(local.airflow_url, local.airflow_login.name, local.airflow_login.password)
        airflow.log_in()
        if errors := airflow.import_errors():
            problems = [f"{error.file}: {error.reason}" for error in errors]
            self._mark(_DAGS, "DAGs, except what Airflow cannot read", problems)
        elif all(airflow.has_dag(dag) for dag in self._environment.dags):
            self._mark(_DAGS, "DAGs")

    def _migrate(self, new: bool) -> bool:
        layout = self._environment.layout
        return airflow_home.migrate(layout, airflow_variables(self._environment), new)

    def _import(self) -> bool:
        local, layout = self._environment.local, self._environment.layout
        return import_settings(local.airflow_url, local.airflow_login, self._environment.file, layout.airflow_home)

    def _check_alive(self, states: dict[str, ProcessState], timeout: float) -> None:
        for service in self._services:
            state = states.get(service.name)
            if state is None or service.name in self._ready or service.name not in self._launched:
                continue
            pids = self._pids.setdefault(service.name, set())
            pids.update({state.pid} - {0})
            if state.state == "FATAL" or len(pids) >= _ATTEMPTS:
                raise UnavailableError(f"{service.title} does not start{log_end(self._log(service))}")
        if time.monotonic() - self._begin > timeout:
            late = [service for service in self._services if service.name not in self._ready]
            names = ", ".join(self._awaited()) or "Airflow's settings"
            logs = "".join(log_end(self._log(service)) for service in late if service.name in self._launched)
            raise UnavailableError(
                f"expected everything to work within {timeout:.0f} s, still waiting for {names}{logs}"
            )

    def _log(self, service: Service) -> Path:
        return self._environment.layout.logs / f"{service.name}.log"


def log_end(log: Path) -> str:
    """The last lines of a log, for a message; a service writes no secrets there."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
    except OSError:
        return ""
    return f"\n--- end of {log}\n" + "\n".join(lines)
