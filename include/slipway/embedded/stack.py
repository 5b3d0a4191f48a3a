"""The local stack as a whole: up, down, status."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from slipway.embedded import airflow_home, postgres, processes, spark_server
from slipway.embedded.bring_up import BringUp, Progress
from slipway.embedded.environment import Environment
from slipway.embedded.lake_users import lake_users
from slipway.embedded.layout import Layout
from slipway.embedded.local_settings import LocalSettings
from slipway.embedded.ports import check_ports
from slipway.embedded.probes import Probes
from slipway.embedded.secret_store import ensure_secrets, load_secrets
from slipway.embedded.services import Service, table
from slipway.embedded.settings_file import load_settings_file
from slipway.embedded.supervision import ProcessState, Supervisor
from slipway.errors import UnavailableError
from slipway.ledger.keys import ensure_keys
from slipway.settings import Settings

_STOP_SECONDS = 30.0


@dataclass(frozen=True)
class ServiceStatus:
    """One line of ``status``. ``uptime``: seconds; ``memory``: bytes, descendants included; both 0 when stopped."""

    title: str
    state: str
    """``working``, ``starting`` (runs, does not answer yet), ``failed`` or ``stopped``."""
    pid: int
    port: int | None
    uptime: float
    memory: int


@dataclass(frozen=True)
class Stack:
    """The stack of one settings file and one ``var`` folder."""

    place: Settings

    @property
    def layout(self) -> Layout:
        return Layout.of(self.place)

    def up(self, progress: Progress, timeout: float) -> LocalSettings:
        """Start what does not run yet, and wait until all of it works.

        Raises ConfigurationError before anything starts (settings, the lake's users, Java, ports), UnavailableError
        when a service does not come.
        """
        layout, supervisor = self.layout, Supervisor(self.layout)
        with self._alone():
            file = load_settings_file(self.place.airflow_settings)
            environment = Environment.of(self.place, file, ensure_secrets(layout.secrets))
            services = table(environment, lake_users(environment))
            if any(service.name == "spark" for service in services):
                spark_server.check_java()
            states = supervisor.states()
            if not states:
                processes.end(processes.left_behind(layout))
            check_ports(services, file, frozenset(name for name, state in states.items() if state.pid))
            self._prepare(environment)
            new = postgres.ensure_cluster(layout.postgres, environment.secrets.get("internal", "postgres_password"))
            self._supervise(supervisor, environment, services, states)
            BringUp(environment, services, supervisor, progress).run(timeout, new)
            return environment.local

    def down(self) -> int:
        """Stop everything; returns how many processes had to be ended besides the services themselves."""
        layout, supervisor = self.layout, Supervisor(self.layout)
        with self._alone():
            pid = supervisor.pid()
            if pid is None:
                return processes.end(processes.left_behind(layout))
            names = set(supervisor.states())
            below = processes.descendants(pid)
            try:
                # The database goes last, so that everyone can still write down that they stopped.
                supervisor.stop(names - {"postgres"}, _STOP_SECONDS)
                supervisor.stop(names, _STOP_SECONDS)
            finally:
                below += processes.descendants(pid)
                supervisor.shut_down()
                _wait_gone(supervisor)
                ended = processes.end({*below, *processes.left_behind(layout)})
            return ended

    def status(self) -> list[ServiceStatus]:
        """Every service of the settings file. Raises ConfigurationError when there never was an ``up``."""
        layout = self.layout
        file = load_settings_file(self.place.airflow_settings)
        environment = Environment.of(self.place, file, load_secrets(layout.secrets))
        states = Supervisor(layout).states()
        probes = Probes(environment)
        try:
            return [_status(service, states.get(service.name), probes) for service in table(environment)]
        finally:
            probes.close()

    def _prepare(self, environment: Environment) -> None:
        layout, channel = self.layout, environment.local.channel
        layout.var.mkdir(parents=True, exist_ok=True)
        # Others may walk through (as root, PostgreSQL is another user), not look around.
        layout.var.chmod(layout.var.stat().st_mode & ~0o066)
        for folder in (
            layout.logs, layout.work, layout.lake, layout.mlflow_artifacts, layout.spark / "tmp", layout.fleet,
            Path(channel.repository, "metadata"), Path(channel.repository, "targets"), Path(channel.keys),
        ):  # fmt: skip
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if signing := environment.local.ledger.keys:
            ensure_keys(signing)
        login = environment.local.airflow_login
        secrets = environment.secrets
        keys = {
            "fernet": secrets.get("internal", "airflow_fernet_key"),
            "jwt": secrets.get("internal", "airflow_jwt_secret"),
            "api": secrets.get("internal", "airflow_api_secret"),
        }
        database = environment.database("airflow", secrets.get("internal", "airflow_database_password"))
        port = environment.port("slipway_airflow")
        sections = airflow_home.configuration(layout, port, login.name, database, keys)
        airflow_home.write(layout, sections, login.name, login.password)

    def _supervise(
        self,
        supervisor: Supervisor,
        environment: Environment,
        services: tuple[Service, ...],
        states: dict[str, ProcessState],
    ) -> None:
        changed = supervisor.configure(services)
        if states:
            supervisor.stop(changed & states.keys(), _STOP_SECONDS)
            supervisor.update()
        else:
            supervisor.start(environment.base)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One `up` or `down` at a time. Raises UnavailableError when another is at work."""
        self.layout.run.mkdir(parents=True, exist_ok=True)
        with self.layout.lock.open("w", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UnavailableError("another `up` or `down` of this stack is at work; wait for its end") from error
            yield


def _status(service: Service, state: ProcessState | None, probes: Probes) -> ServiceStatus:
    if state is None or not state.pid:
        word = "failed" if state is not None and state.state in {"FATAL", "BACKOFF", "EXITED"} else "stopped"
        return ServiceStatus(service.title, word, 0, service.port, 0.0, 0)
    word = "working" if probes.works(service, state) else "starting"
    uptime = max(0.0, time.time() - state.started)
    return ServiceStatus(service.title, word, state.pid, service.port, uptime, processes.memory(state.pid))


def _wait_gone(supervisor: Supervisor) -> None:
    end = time.monotonic() + _STOP_SECONDS
    while supervisor.running() and time.monotonic() < end:
        time.sleep(0.05)
