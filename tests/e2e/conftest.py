"""One whole stack for nearly all end-to-end tests: a copy of the project on its own ports, used as a user uses it."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.project_copy import ROOT, Project, copy_project

EVIDENCE = ROOT / "var" / "e2e"
"""Screenshots and the logs of a failed run stay here."""


@contextmanager
def running_copy(prepare: Callable[[Project], None]) -> Iterator[Project]:
    """A copy of the project with its stack up, after ``prepare``."""
    # Not pytest's own temporary folder: as root, another pytest would close that to PostgreSQL's user.
    made = copy_project(Path(tempfile.mkdtemp(prefix="slipway-e2e-")))
    prepare(made)
    try:
        made.run(sys.executable, "-m", "slipway.embedded", "up")
        yield made
    finally:
        subprocess.run(
            [sys.executable, "-m", "slipway.embedded", "down"], cwd=made.root, env=made.environment, check=False
        )
        EVIDENCE.mkdir(parents=True, exist_ok=True)
        for name, logs in (("log", "var/log"), ("tasks", "var/airflow/logs")):
            shutil.copytree(made.root / logs, EVIDENCE / name, dirs_exist_ok=True, ignore_dangling_symlinks=True)
        shutil.rmtree(made.root)


def soon_trained(project: Project) -> None:
    """``digit_reader`` trains on fewer days and registers any model."""
    project.change_pipeline("digit_reader", "min_new_partitions: 20", "min_new_partitions: 8")
    project.change_pipeline("digit_reader", "champion: 0.002", "champion: -1.0")


@pytest.fixture(scope="session")
def project() -> Iterator[Project]:
    """The copy that nearly all tests share."""
    with running_copy(soon_trained) as made:
        yield made


@pytest.fixture(scope="session")
def demo(project) -> dict:
    """The report of ``make demo``'s run on this stack."""
    project.slipway("demo")
    return project.report()
