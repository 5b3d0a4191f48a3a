"""The local stack as a user meets it: up, status, a crash, up again, a taken port, down."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import psycopg2
import pytest

from slipway.embedded import mlflow_server, processes
from slipway.embedded.layout import Layout
from slipway.embedded.local_settings import LocalSettings, Login
from slipway.embedded.ports import is_open
from slipway.embedded.stack import ServiceStatus, Stack
from slipway.settings import Settings

ROOT = Path(__file__).parents[2]
SHIPPED_PORTS = (18000, 15002, 15000, 15432, 18080, 8080)
pytestmark = pytest.mark.timeout(900)


@dataclass(frozen=True)
class Running:
    place: Settings

    def command(self, *arguments: str, expect: int = 0) -> str:
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT / "include"),
            "SLIPWAY_VAR": str(self.place.var),
            "SLIPWAY_AIRFLOW_SETTINGS": str(self.place.airflow_settings),
        }
        command = [sys.executable, "-m", "slipway.embedded", *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == expect, done.stdout + done.stderr
        return done.stdout + done.stderr

    @property
    def local(self) -> LocalSettings:
        return LocalSettings.load(self.place)

    @property
    def layout(self) -> Layout:
        return Layout.of(self.place)

    def status(self) -> dict[str, ServiceStatus]:
        return {row.title: row for row in Stack(self.place).status()}

    def airflow(self) -> httpx.Client:
        url, login = self.local.airflow_url, self.local.airflow_login
        body = {"username": login.name, "password": login.password}
        token = httpx.post(f"{url}/auth/token", json=body, timeout=60, trust_env=False).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False)


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


@pytest.fixture(scope="module")
def stack() -> Iterator[Running]:
    # Not pytest's temporary folder: each pytest that starts closes it to other users, and as root PostgreSQL is one.
    folder = Path(tempfile.mkdtemp(prefix="slipway-stack-"))
    text = (ROOT / "airflow_settings.yaml").read_text()
    for shipped, port in zip(SHIPPED_PORTS, free_ports(len(SHIPPED_PORTS)), strict=True):
        assert text.count(f"conn_port: {shipped}\n") == 1
        text = text.replace(f"conn_port: {shipped}\n", f"conn_port: {port}\n")
    (folder / "settings.yaml").write_text(text)
    running = Running(Settings(root=ROOT, var=folder / "var", airflow_settings=folder / "settings.yaml"))
    try:
        shown = running.command("up", "--timeout", "600")
        assert running.local.airflow_url in shown
        assert running.local.airflow_login.password not in shown
        yield running
    finally:
        running.command("down")
        shutil.rmtree(folder)


def test_everything_works_after_up_and_status_says_so(stack: Running) -> None:
    rows = stack.status()
    assert {row.state for row in rows.values()} == {"working"}
    assert all(row.pid > 0 and row.memory > 0 for row in rows.values())
    assert "Airflow scheduler" in stack.command("status")


def test_airflow_has_the_connections_and_pools_of_the_file(stack: Running) -> None:
    with stack.airflow() as client:
        connections = {c["connection_id"]: c for c in client.get("/api/v2/connections").json()["connections"]}
        pools = {pool["name"]: pool["slots"] for pool in client.get("/api/v2/pools").json()["pools"]}
    assert {"lakefs_default", "spark_default", "mlflow_default", "slipway_ledger", "slipway_channel"} < set(connections)
    assert connections["slipway_channel"]["password"] == "***"
    assert json.loads(connections["slipway_compute"]["extra"]) == {"runtime": "process"}
    assert pools["spark"] == 2


def test_after_up_airflow_has_read_the_dags_of_every_pipeline(stack: Running) -> None:
    with stack.airflow() as client:
        for pipeline in ("flight_delay", "digit_reader"):
            for line in ("ingest", "train", "release"):
                assert client.patch(f"/api/v2/dags/{pipeline}.{line}", json={"is_paused": True}).status_code == 200


def test_no_secret_is_in_a_log_or_on_a_command_line(stack: Running) -> None:
    secrets = json.loads(stack.layout.secrets.read_text())
    values = {value for names in secrets.values() for key, value in names.items() if key != "conn_login"}
    logs = [path for path in stack.layout.logs.rglob("*") if path.is_file()]
    airflows = [path for path in (stack.layout.airflow_home / "logs").rglob("*") if path.is_file()]
    assert logs and airflows
    seen = "".join(path.read_text(errors="replace") for path in (*logs, *airflows))
    seen += "".join(" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"]))
    assert [value for value in values if value in seen] == []


def test_nobody_gets_in_without_the_generated_secrets(stack: Running) -> None:
    local = stack.local
    login = base64.b64encode(b"slipway:wrong").decode()
    query = f"{local.mlflow_url}/api/2.0/mlflow/experiments/search?max_results=1"
    assert httpx.get(query, trust_env=False).status_code == 401
    assert httpx.get(query, headers={"Authorization": f"Basic {login}"}, trust_env=False).status_code == 401
    body = {"username": local.airflow_login.name, "password": "wrong"}
    assert httpx.post(f"{local.airflow_url}/auth/token", json=body, trust_env=False).status_code == 401
    assert httpx.get(f"{local.lake.endpoint}/api/v1/repositories", trust_env=False).status_code == 401
    assert httpx.get(f"{local.channel.gateway}/v1/devices?pipeline=x", trust_env=False).status_code == 401
    port = stack.status()["PostgreSQL"].port
    for user in ("ledger", "postgres"):
        with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
            psycopg2.connect(host="127.0.0.1", port=port, user=user, password="wrong", dbname="ledger")


def test_spark_connect_takes_its_token_only_and_its_workers_import_slipway(stack: Running) -> None:
    code = (
        "import sys; from pyspark.sql import SparkSession, functions as F\n"
        "spark = SparkSession.builder.remote(sys.argv[1]).getOrCreate()\n"
        "@F.udf('string')\n"
        "def where(_):\n"
        "    import slipway\n"
        "    return slipway.__name__\n"
        "print(spark.range(1).select(where('id')).first()[0])\n"
    )
    url = stack.local.spark.remote
    environment = {"PATH": os.environ["PATH"], "SPARK_CONNECT_RETRY": "0"}
    good = subprocess.run(
        [sys.executable, "-c", code, url], capture_output=True, text=True, check=False, env=environment, timeout=300
    )
    assert good.stdout.strip() == "slipway", good.stderr[-2000:]
    wrong = url.replace("token=", "token=not")
    bad = subprocess.run(
        [sys.executable, "-c", code, wrong], capture_output=True, text=True, check=False, env=environment, timeout=300
    )
    assert bad.returncode != 0
    assert "Invalid authentication token" in bad.stderr


def test_mlflow_is_told_its_places_by_the_names_it_knows() -> None:
    from mlflow.server import constants

    names = mlflow_server.environment("sqlite://", Path("/a"), Path("/b"), Login("n", "p"), "s")
    for known in ("BACKEND_STORE_URI", "SERVE_ARTIFACTS", "ARTIFACT_ROOT", "ARTIFACTS_DESTINATION"):
        assert getattr(constants, f"{known}_ENV_VAR") in names


def test_mlflow_keeps_artifacts_in_the_stacks_folder(stack: Running) -> None:
    login = (stack.local.mlflow_login.name, stack.local.mlflow_login.password)
    with httpx.Client(base_url=stack.local.mlflow_url, auth=login, timeout=60, trust_env=False) as client:
        path = "/api/2.0/mlflow-artifacts/artifacts/probe/file.txt"
        assert client.put(path, content=b"hello").is_success
        assert client.get(path).content == b"hello"
    assert (stack.layout.mlflow_artifacts / "probe" / "file.txt").read_bytes() == b"hello"


def test_airflows_own_command_line_works_against_the_stack(stack: Running) -> None:
    done = subprocess.run(
        [str(stack.layout.airflow_command), "pools", "list", "--output", "json"],
        capture_output=True,
        text=True,
        check=True,
        env={},
    )
    assert "spark" in done.stdout


def test_up_again_changes_nothing(stack: Running) -> None:
    before = {title: row.pid for title, row in stack.status().items()}
    stack.command("up", "--timeout", "300")
    assert {title: row.pid for title, row in stack.status().items()} == before


@pytest.mark.parametrize("title", ["lakeFS (embedded)", "Fleet gateway", "PostgreSQL"])
def test_a_crashed_service_comes_back(stack: Running, title: str) -> None:
    before = stack.status()[title].pid
    os.kill(before, signal.SIGKILL)
    end = time.monotonic() + 120
    while (row := stack.status()[title]).pid == before or row.state != "working":
        assert time.monotonic() < end, row
        time.sleep(0.5)


def test_a_changed_port_moves_only_the_services_it_concerns(stack: Running) -> None:
    before = {title: row.pid for title, row in stack.status().items()}
    settings_file, old = stack.place.airflow_settings, stack.status()["Fleet gateway"].port
    (new,) = free_ports(1)
    settings_file.write_text(settings_file.read_text().replace(f"conn_port: {old}\n", f"conn_port: {new}\n"))
    stack.command("up", "--timeout", "300")
    after = stack.status()
    assert after["Fleet gateway"].port == new
    assert {title for title, row in after.items() if row.pid != before[title]} >= {"Fleet gateway", "Simulated fleet"}
    assert after["MLflow"].pid == before["MLflow"]
    with stack.airflow() as client:
        assert client.get("/api/v2/connections/slipway_channel").json()["port"] == new


def test_a_taken_port_stops_another_stack_before_anything_starts(stack: Running, tmp_path: Path) -> None:
    other = Running(Settings(root=ROOT, var=tmp_path / "var", airflow_settings=stack.place.airflow_settings))
    shown = other.command("up", expect=2)
    gateway = stack.status()["Fleet gateway"]
    assert f"port {gateway.port} for Fleet gateway is taken by" in shown
    assert f"pid {gateway.pid}" in shown
    assert "`conn_port` of `slipway_channel`" in shown
    assert not (tmp_path / "var" / "postgres").exists()


def test_a_lost_supervisor_is_replaced_and_down_leaves_no_process(stack: Running) -> None:
    """Last in this file: it stops the stack."""
    ports = [row.port for row in stack.status().values() if row.port]
    os.kill(int(stack.layout.supervisor_pid.read_text()), signal.SIGKILL)
    time.sleep(0.5)
    assert processes.left_behind(stack.layout)
    stack.command("status", expect=3)
    stack.command("down")
    assert processes.left_behind(stack.layout) == []
    assert [port for port in ports if is_open(port)] == []
    stack.command("down")
