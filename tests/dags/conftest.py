"""DAG files are read here as Airflow reads them, with everything that could reach outside made to fail."""

import os
import socket
import subprocess

import pytest

from tests.dags.reading import ROOT, ParseTimeError, read_dag_file


@pytest.fixture(scope="session", autouse=True)
def airflow_home(tmp_path_factory):
    """A bare Airflow: nothing of this machine's, no example DAGs, a database nobody may open."""
    home = tmp_path_factory.mktemp("airflow")
    values = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "True",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/unused.db",
    }
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    yield home
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


@pytest.fixture
def no_io(monkeypatch):
    """Network, connections, variables and subprocesses raise."""

    def refuse(*args, **kwargs):
        raise ParseTimeError(f"a DAG file did I/O while being parsed: {args!r:.200}")

    import croniter  # noqa: F401 - asks the system for its word size when it is first imported
    from airflow.sdk import Connection, Variable

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.setattr(Connection, "get", refuse)
    monkeypatch.setattr(Variable, "get", refuse)


@pytest.fixture
def dags(no_io):
    """Every DAG of the project by id."""
    found = {}
    for path in sorted((ROOT / "dags").glob("*.py")):
        found |= read_dag_file(path)
    return found
