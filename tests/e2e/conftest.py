"""One whole stack for all end-to-end tests: a copy of the project on its own ports, used as a user uses it."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("airflow_settings.yaml", "dags", "include", "plugins", "spark_jobs", "requirements.lock", "pyproject.toml")
EVIDENCE = ROOT / "var" / "e2e"
"""Screenshots and the logs of a failed run stay here."""


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

    def place(self):
        from slipway.settings import Settings

        return Settings(root=self.root, var=self.root / "var", airflow_settings=self.root / "airflow_settings.yaml")

    def local(self):
        """Where the services are."""
        from slipway.embedded.local_settings import LocalSettings

        return LocalSettings.load(self.place())

    def airflow(self):
        from slipway.embedded.airflow_api import AirflowApi

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
        from slipway.release.gateway_client import GatewayClient

        return {device.version for device in GatewayClient(self.local().channel).devices(pipeline)}

    def report(self) -> dict:
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


@pytest.fixture(scope="session")
def project() -> Iterator[Project]:
    """The copy, with its stack up. ``digit_reader`` trains on fewer days and registers any model: see its tests."""
    # Not pytest's own temporary folder: as root, another pytest would close that to PostgreSQL's user.
    made = copy_project(Path(tempfile.mkdtemp(prefix="slipway-e2e-")))
    made.change_pipeline("digit_reader", "min_new_partitions: 20", "min_new_partitions: 8")
    made.change_pipeline("digit_reader", "champion: 0.002", "champion: -1.0")
    try:
        made.run(sys.executable, "-m", "slipway.embedded", "up")
        yield made
    finally:
        subprocess.run(
            [sys.executable, "-m", "slipway.embedded", "down"], cwd=made.root, env=made.environment, check=False
        )
        EVIDENCE.mkdir(parents=True, exist_ok=True)
        shutil.copytree(made.root / "var/log", EVIDENCE / "log", dirs_exist_ok=True)
        shutil.rmtree(made.root)


@pytest.fixture(scope="session")
def demo(project) -> dict:
    """The report of ``make demo``'s run on this stack."""
    project.slipway("demo")
    return project.report()
