"""Where the local stack keeps what: every folder and file below ``var``."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

from slipway.settings import Settings

_LONGEST_SOCKET_PATH = 100
"""Bytes; Linux allows 107 for a Unix socket's path, and a supervisor adds its process id while it starts."""


@dataclass(frozen=True)
class Layout:
    """Paths below the stack's folder ``var`` (absolute)."""

    root: Path
    var: Path
    settings_file: Path

    @classmethod
    def of(cls, place: Settings) -> Layout:
        return cls(place.root.resolve(), place.var.resolve(), place.airflow_settings.resolve())

    @property
    def secrets(self) -> Path:
        return self.var / "secrets.json"

    @property
    def logs(self) -> Path:
        return self.var / "log"

    @property
    def run(self) -> Path:
        """The supervisor's files and the services' specifications."""
        return self.var / "run"

    @property
    def work(self) -> Path:
        """The folder services stand in; nobody else does, so it tells their processes apart."""
        return self.run / "work"

    @property
    def services(self) -> Path:
        return self.run / "services"

    @property
    def private(self) -> Path:
        """Files with secrets that single services read; all can be made again from ``secrets.json``."""
        return self.run / "private"

    @property
    def postgres(self) -> Path:
        return self.var / "postgres"

    @property
    def lake_users(self) -> Path:
        """Further users of the embedded lake: written by hand, hence not in ``var``, or not there."""
        return self.settings_file.with_name("lakefs-users.json")

    @property
    def lake(self) -> Path:
        return self.var / "lake"

    @property
    def mlflow_artifacts(self) -> Path:
        return self.var / "mlflow" / "artifacts"

    @property
    def spark(self) -> Path:
        return self.var / "spark"

    @property
    def fleet(self) -> Path:
        return self.var / "fleet"

    @property
    def airflow_home(self) -> Path:
        return self.var / "airflow"

    @property
    def airflow_command(self) -> Path:
        """A script that runs Airflow's own command line against this stack."""
        return self.var / "bin" / "airflow"

    @property
    def supervisor_config(self) -> Path:
        return self.run / "supervisord.conf"

    @property
    def supervisor_pid(self) -> Path:
        return self.run / "supervisord.pid"

    @property
    def supervisor_socket(self) -> Path:
        """In ``var/run``; where that path is too long for a socket, in a private folder of the temporary one."""
        wanted = self.run / "supervisord.sock"
        if len(str(wanted).encode()) <= _LONGEST_SOCKET_PATH:
            return wanted
        name = hashlib.sha256(str(self.var).encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"slipway-{name}" / "supervisord.sock"

    @property
    def lock(self) -> Path:
        return self.run / "stack.lock"
