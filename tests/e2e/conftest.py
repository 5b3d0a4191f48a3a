"""One whole stack for all end-to-end tests: a copy of the project on its own ports, used as a user uses it."""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.project_copy import ROOT, Project, copy_project

EVIDENCE = ROOT / "var" / "e2e"
"""Screenshots and the logs of a failed run stay here."""


def be_ready_for_kills(project: Project) -> None:
    """For ``test_retries``: as many tries, at once, as there are effects, and a worker is soon taken for dead."""
    shutil.copy(ROOT / "tests/e2e/kill_after_effects.py", project.root / "plugins")
    for file in (project.root / "dags").glob("*.py"):
        text = re.sub(r'(\bretries=|"retries": )[1-9]\d*', r"\g<1>30", file.read_text())
        file.write_text(re.sub(r"(retry_delay\W+dt\.timedelta)\(seconds=\d+\)", r"\1(seconds=1)", text))
    sections = project.root / "include/slipway/embedded/airflow_home.py"
    before, after = sections.read_text().split('"scheduler": {')
    sections.write_text(f'{before}"scheduler": {{"task_instance_heartbeat_timeout": "40",{after}')


@pytest.fixture(scope="session")
def project() -> Iterator[Project]:
    """The copy, with its stack up. ``digit_reader`` trains on fewer days and registers any model: see its tests."""
    # Not pytest's own temporary folder: as root, another pytest would close that to PostgreSQL's user.
    made = copy_project(Path(tempfile.mkdtemp(prefix="slipway-e2e-")))
    made.change_pipeline("digit_reader", "min_new_partitions: 20", "min_new_partitions: 8")
    made.change_pipeline("digit_reader", "champion: 0.002", "champion: -1.0")
    be_ready_for_kills(made)
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
