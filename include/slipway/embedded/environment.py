"""Everything the local stack's services are made of: settings, secrets and places, and what follows from them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from slipway.connections import database_connection
from slipway.embedded.layout import Layout
from slipway.embedded.local_settings import LocalSettings, build, fields, fill
from slipway.embedded.secret_store import Secrets
from slipway.embedded.settings_file import SettingsFile
from slipway.settings import Settings


@dataclass(frozen=True)
class Environment:
    """One settings file and one ``var`` folder, completed."""

    place: Settings
    layout: Layout
    file: SettingsFile
    """With logins, passwords and paths completed."""
    secrets: Secrets
    local: LocalSettings

    @classmethod
    def of(cls, place: Settings, file: SettingsFile, secrets: Secrets) -> Environment:
        complete = fill(file, secrets)
        return cls(place, Layout.of(place), complete, secrets, build(complete, secrets, place))

    def port(self, conn_id: str) -> int:
        return self.file.connection(conn_id).conn_port or 0

    def database(self, name: str, password: str) -> str:
        """The SQLAlchemy URL of one of the embedded PostgreSQL's databases."""
        entry = self.file.connection("slipway_ledger")
        role = entry.model_copy(update={"conn_login": name, "conn_schema": name, "conn_password": password})
        return database_connection(fields(role)).url

    @property
    def pipelines(self) -> list[str]:
        return sorted(file.stem for file in self.place.pipelines.glob("*.yaml"))

    @property
    def dags(self) -> list[str]:
        """The ids of the DAGs that the pipelines have."""
        return [f"{pipeline}.{line}" for pipeline in self.pipelines for line in ("ingest", "train", "release")]

    @property
    def base(self) -> dict[str, str]:
        """What every service's environment has; nothing else is inherited, so a user's shell cannot disturb it."""
        return {
            "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(Path.home()),
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": f"{self.layout.root / 'include'}:{self.layout.root / 'plugins'}",
            "SLIPWAY_ROOT": str(self.layout.root),
            "SLIPWAY_VAR": str(self.layout.var),
            "SLIPWAY_AIRFLOW_SETTINGS": str(self.layout.settings_file),
        }

    @property
    def lake_credentials(self) -> dict[str, str]:
        """What lakeFS's own SDK reads."""
        lake = self.local.lake
        return {
            "LAKECTL_SERVER_ENDPOINT_URL": lake.endpoint,
            "LAKECTL_CREDENTIALS_ACCESS_KEY_ID": lake.access_key,
            "LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY": lake.secret_key,
        }
