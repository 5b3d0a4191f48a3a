"""A copy of the project on ports of its own, used as a user uses it: what end-to-end tests and benchmarks run."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.embedded.airflow_api import AirflowApi
from slipway.embedded.local_settings import LocalSettings
from slipway.release.gateway_client import GatewayClient
from slipway.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("airflow_settings.yaml", "dags", "include", "plugins", "spark_jobs", "requirements.lock", "pyproject.toml")


@dataclass(frozen=True)
class Project:
    """A project folder with a stack that is up."""

    root: Path
    environment: dict[str, str]

    def run(self, *arguments: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
        """Run a command of the project and fail with its output."""
        done = subprocess.run(
            arguments, cwd=self.root, env=self.environment, capture_output=True, text=True, timeout=timeout, check=False
        )
        assert done.returncode == 0, f"{' '.join(arguments)}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return done

    def slipway(self, *arguments: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, "-m", "slipway", *arguments, timeout=timeout)

    def place(self) -> Settings:
        return Settings(root=self.root, var=self.root / "var", airflow_settings=self.root / "airflow_settings.yaml")

    def local(self) -> LocalSettings:
        """Where the services are."""
        return LocalSettings.load(self.place())

    def airflow(self) -> AirflowApi:
        local = self.local()
        api = AirflowApi(local.airflow_url, local.airflow_login.name, local.airflow_login.password)
        api.log_in()
        return api

    def change_pipeline(self, name: str, before: str, after: str) -> None:
        """Edit a pipeline's file as its owner would."""
        path = self.root / f"include/pipelines/{name}.yaml"
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after))

    def versions_on_devices(self, pipeline: str) -> set[str | None]:
        return {device.version for device in GatewayClient(self.local().channel).devices(pipeline)}

    def report(self) -> dict[str, Any]:
        return json.loads((self.root / "var/demo/report.json").read_text())


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def copy_project(root: Path) -> Project:
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, root / name)
    settings = root / "airflow_settings.yaml"
    settings.write_text(re.sub(r"conn_port: \d+", lambda _: f"conn_port: {free_port()}", settings.read_text()))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/root"),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(root / "include"),
        "COLUMNS": "160",
    }
    return Project(root, environment)
