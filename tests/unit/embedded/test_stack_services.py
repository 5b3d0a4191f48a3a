"""The table of services, their configuration files, ports, and what a crashed service leaves behind."""

from __future__ import annotations

import configparser
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from slipway.embedded import airflow_home, launch, processes, spark_server, start_python
from slipway.embedded.airflow_import import connection_body
from slipway.embedded.environment import Environment
from slipway.embedded.lake_users import lake_users
from slipway.embedded.lakefs_server.signing import Credentials
from slipway.embedded.layout import Layout
from slipway.embedded.ports import check_ports, is_free
from slipway.embedded.secret_store import Secrets, ensure_secrets, write_private
from slipway.embedded.services import Service, table
from slipway.embedded.settings_file import load_settings_file
from slipway.embedded.stack import Stack
from slipway.embedded.supervision import Supervisor
from slipway.errors import ConfigurationError
from slipway.settings import Settings

ROOT = Path(__file__).parents[3]


@pytest.fixture
def place(tmp_path: Path) -> Settings:
    settings_file = tmp_path / "airflow_settings.yaml"
    settings_file.write_text((ROOT / "airflow_settings.yaml").read_text())
    return Settings(root=ROOT, var=tmp_path / "var", airflow_settings=settings_file)


@pytest.fixture
def environment(place: Settings) -> Environment:
    file = load_settings_file(place.airflow_settings)
    return Environment.of(place, file, ensure_secrets(place.var / "secrets.json"))


def secret_values(secrets: Secrets) -> set[str]:
    return {value for names in secrets.values.values() for key, value in names.items() if key != "conn_login"}


def test_every_service_has_its_port_from_its_connection(environment: Environment) -> None:
    services = {service.name: service for service in table(environment)}
    assert {service.conn_id: service.port for service in services.values() if service.port} == {
        "slipway_ledger": 15432,
        "lakefs_default": 18000,
        "spark_default": 15002,
        "mlflow_default": 15000,
        "slipway_channel": 18080,
        "slipway_airflow": 8080,
    }
    assert {f"airflow-{name}" for name in airflow_home.SERVICES} < services.keys()


def test_only_the_airflow_processes_that_fork_load_the_libraries_of_tasks_before(environment: Environment) -> None:
    commands = {s.name: s.command for s in table(environment) if s.name.startswith("airflow-")}
    before = {name: command[2 : command.index("airflow")] for name, command in commands.items()}
    assert before == {
        "airflow-api-server": (),
        "airflow-scheduler": ("--task-libraries",),
        "airflow-dag-processor": ("--task-libraries",),
        "airflow-triggerer": ("--task-libraries",),
    }
    assert {command[1] for command in commands.values()} == {start_python.__file__}


def test_no_secret_is_part_of_a_command_line_or_of_the_supervisors_configuration(environment: Environment) -> None:
    services = table(environment)
    Supervisor(environment.layout).configure(services)
    public = environment.layout.supervisor_config.read_text() + repr(services)
    public += "".join(part for service in services for part in service.command)
    assert [value for value in secret_values(environment.secrets) if value in public] == []


def test_files_with_secrets_are_private(environment: Environment) -> None:
    Supervisor(environment.layout).configure(table(environment))
    airflow_home.write(environment.layout, {"core": {"fernet_key": "k"}}, "admin", "secret")
    readable = [
        path
        for path in environment.layout.var.rglob("*")
        if path.is_file() and path.stat().st_mode & 0o077 and path.parent != environment.layout.airflow_home
    ]
    assert readable == []


def test_a_users_shell_cannot_disturb_a_service(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "SequentialExecutor")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    for service in table(environment):
        assert not any(name.startswith("AIRFLOW__") for name in service.environment)
        assert "/somewhere" not in service.environment.get("PYTHONPATH", "")


def test_a_service_that_lives_elsewhere_is_not_started(place: Settings) -> None:
    text = place.airflow_settings.read_text()
    text = text.replace("sc://localhost", "sc://spark.example.org").replace("# the server's token", "token")
    place.airflow_settings.write_text(text)
    file = load_settings_file(place.airflow_settings)
    names = {s.name for s in table(Environment.of(place, file, ensure_secrets(place.var / "secrets.json")))}
    assert "spark" not in names
    assert {"postgres", "lakefs", "mlflow", "gateway"} < names


def test_only_a_service_whose_start_changed_is_reported_as_changed(environment: Environment, place: Settings) -> None:
    supervisor = Supervisor(environment.layout)
    assert supervisor.configure(table(environment)) == {service.name for service in table(environment)}
    assert supervisor.configure(table(environment)) == frozenset()
    place.airflow_settings.write_text(place.airflow_settings.read_text().replace("18000", "18001"))
    moved = Environment.of(place, load_settings_file(place.airflow_settings), environment.secrets)
    assert supervisor.configure(table(moved)) == {"lakefs", "spark"}  # Spark's workers must find the lake


READER = {"id": "notebook", "access_key": "reader", "secret_key": "s3cret", "role": "read"}
WRITER = {**READER, "id": "labels", "access_key": "labels", "role": "write", "repository": "shop", "branch": "labels"}


def test_a_key_added_for_the_lake_restarts_it_alone_and_the_lake_knows_it(environment: Environment) -> None:
    supervisor = Supervisor(environment.layout)
    supervisor.configure(table(environment, lake_users(environment)))
    write_private(environment.layout.lake_users, json.dumps([READER, WRITER]))
    assert supervisor.configure(table(environment, lake_users(environment))) == {"lakefs"}
    known = Credentials.read(environment.layout.private / "lakefs.json")
    assert known.users == lake_users(environment)
    assert [user.entry for user in known.users] == [READER, WRITER]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"{", "Invalid JSON"),
        (b"{}", "its top: Input should be a valid array"),
        (b'[{"id": "caf\xe9"}]', "Invalid JSON"),
        (json.dumps([READER, {**READER, "role": "owner"}]).encode(), r"\[1\]\.role: Input should be 'admin'"),
        (json.dumps([{**READER, "role": "write"}]).encode(), "role write needs repository and branch"),
    ],
)
def test_a_file_of_keys_that_is_none_is_refused_with_its_name_and_the_form_it_should_have(
    environment: Environment, content: bytes, problem: str
) -> None:
    write_private(environment.layout.lake_users, "")
    environment.layout.lake_users.write_bytes(content)
    with pytest.raises(ConfigurationError, match=problem) as caught:
        lake_users(environment)
    for part in (str(environment.layout.lake_users), '"role": "read"', "docs/local-stack.md"):
        assert part in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_ids_and_access_keys_of_the_lake_are_there_once_the_stacks_own_included(environment: Environment) -> None:
    own = {"id": "admin", "access_key": environment.local.lake.access_key}
    for name, taken in (*own.items(), ("id", READER["id"]), ("access_key", READER["access_key"])):
        write_private(environment.layout.lake_users, json.dumps([READER, {**WRITER, name: taken}]))
        with pytest.raises(ConfigurationError, match=f"once, .*, got {taken} again") as caught:
            lake_users(environment)
        assert str(environment.layout.lake_users) in str(caught.value)


def test_keys_others_may_read_stop_a_start_before_anything_is_written_but_not_a_look(
    environment: Environment, place: Settings
) -> None:
    environment.layout.lake_users.write_text("[]")
    environment.layout.lake_users.chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        Stack(place).up(Unwatched(), timeout=1)
    assert not environment.layout.services.exists() and not environment.layout.postgres.exists()
    assert {line.state for line in Stack(place).status()} == {"stopped"}


class Unwatched:
    """A start that nobody watches."""

    def ready(self, title: str, seconds: float, problems: Sequence[str] = ()) -> None:
        return

    def waiting(self, titles: tuple[str, ...]) -> None:
        return


def test_keys_for_a_lake_on_another_machine_are_not_looked_at(place: Settings, environment: Environment) -> None:
    environment.layout.lake_users.write_text("not keys")
    text = place.airflow_settings.read_text().replace(
        "http://127.0.0.1\n      conn_schema:\n      conn_login: # access",
        "https://lakefs.example.org\n      conn_schema:\n      conn_login: # access",
    )
    text = text.replace("# access key id", "key").replace("# secret access key", "secret")
    place.airflow_settings.write_text(text)
    elsewhere = Environment.of(place, load_settings_file(place.airflow_settings), environment.secrets)
    assert not elsewhere.file.connection("lakefs_default").local
    assert lake_users(elsewhere) == ()


def test_airflows_configuration_survives_a_percent_sign(environment: Environment) -> None:
    text = airflow_home.render({"database": {"sql_alchemy_conn": "postgresql://a:%2F@host/db"}})
    parser = configparser.ConfigParser()
    parser.read_string(text)
    assert parser["database"]["sql_alchemy_conn"] == "postgresql://a:%2F@host/db"


def test_a_dag_file_may_take_long_to_read_and_its_dags_do_not_go_stale_meanwhile(environment: Environment) -> None:
    keys = {"fernet": "", "jwt": "", "api": ""}
    sections = airflow_home.configuration(environment.layout, 8080, "admin", "postgresql://", keys)
    processor = sections["dag_processor"]
    reading, whole = float(sections["core"]["dagbag_import_timeout"]), float(processor["dag_file_processor_timeout"])
    assert 60 <= reading < whole < float(processor["stale_dag_threshold"])


def test_every_setting_of_airflow_is_one_it_knows(environment: Environment) -> None:
    from airflow.configuration import retrieve_configuration_description

    known = retrieve_configuration_description(include_providers=False)
    keys = {"fernet": "", "jwt": "", "api": ""}
    sections = airflow_home.configuration(environment.layout, 8080, "admin", "postgresql://", keys)
    named = {(section, option) for section, options in sections.items() for option in options}
    assert named <= {(section, option) for section in known for option in known[section]["options"]}


def test_a_connection_reaches_airflow_with_blank_fields_as_null(environment: Environment) -> None:
    body = connection_body(environment.file.connection("slipway_compute"))
    assert body["host"] is None
    assert body["password"] is None
    assert json.loads(body["extra"]) == {"runtime": "process"}


def test_a_taken_port_names_port_holder_setting_and_file(environment: Environment) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        service = Service("x", "Some service", ("x",), {}, conn_id="lakefs_default", port=port)
        with pytest.raises(ConfigurationError) as caught:
            check_ports([service], environment.file, frozenset())
        for part in (str(port), f"pid {os.getpid()}", "lakefs_default", "conn_port", str(environment.file.path)):
            assert part in str(caught.value)
        check_ports([service], environment.file, frozenset({"x"}))  # our own: nothing to say
    assert is_free(port)


def test_two_services_on_one_port_are_refused(environment: Environment) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
    pair = [Service(name, name, ("x",), {}, conn_id=f"conn_{name}", port=port) for name in ("a", "b")]
    with pytest.raises(ConfigurationError, match="conn_a and conn_b"):
        check_ports(pair, environment.file, frozenset())


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_402"', 8),
        ('openjdk version "21" 2023-09-19', 21),
        ("command not found", None),
    ],
)
def test_javas_version_is_read_as_it_writes_it(text: str, version: int | None) -> None:
    assert spark_server.java_version(text) == version


def test_missing_java_is_one_line_that_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError) as caught:
        spark_server.check_java()
    assert "apt-get install openjdk-17-jre-headless" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_old_java_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(ConfigurationError, match="is Java 11"):
        spark_server.check_java()


def test_a_long_folder_gets_its_socket_in_a_private_one_elsewhere(tmp_path: Path) -> None:
    near = Layout(ROOT, Path("/short/var"), Path("/s"))
    assert near.supervisor_socket == Path("/short/var/run/supervisord.sock")
    far = Layout(ROOT, tmp_path / ("long" * 30), Path("/s"))
    assert len(str(far.supervisor_socket)) < 100
    assert far.supervisor_socket == Layout(ROOT, tmp_path / ("long" * 30), Path("/t")).supervisor_socket


def test_a_launched_service_gets_exactly_its_environment_and_folder(tmp_path: Path) -> None:
    code = "import os, json; print(json.dumps([dict(os.environ), os.getcwd()]))"
    specification = tmp_path / "service.json"
    specification.write_text(
        json.dumps(
            {
                "command": [sys.executable, "-S", "-c", code],
                "environment": {"ONLY": "this", "LC_CTYPE": "C.UTF-8"},
                "directory": str(tmp_path),
                "user": None,
            }
        )
    )
    done = subprocess.run(
        [sys.executable, "-S", launch.__file__, str(specification)], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == [{"ONLY": "this", "LC_CTYPE": "C.UTF-8"}, str(tmp_path)]


_SUPERVISOR = """
import ctypes, subprocess, sys, time
from slipway.embedded import launch
import os
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
# A service that leaves a worker in its own group, and one that detached itself; then it dies.
code = '''
import subprocess, os
worker = subprocess.Popen(["sleep", "60"])
detached = subprocess.Popen(["sleep", "60"], start_new_session=True)
print(worker.pid, detached.pid, flush=True)
os.kill(os.getpid(), 9)
'''
service = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, process_group=0)
worker, detached = map(int, service.stdout.readline().split())
service.wait()
launch.end_orphans(os.getpid())
time.sleep(0.2)
def runs(pid):
    return not open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0] == "Z"
print(runs(worker), runs(detached))
os.kill(detached, 9)
"""


def test_what_a_crashed_service_leaves_is_ended_but_not_what_it_detached() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SUPERVISOR],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
        env={"PYTHONPATH": str(ROOT / "include"), "PATH": "/usr/bin:/bin"},
    )
    assert done.stdout.split() == ["False", "True"]


def test_a_process_that_stands_in_the_work_folder_belongs_to_the_stack(tmp_path: Path) -> None:
    layout = Layout(ROOT, tmp_path, tmp_path / "s")
    layout.work.mkdir(parents=True)
    ours = subprocess.Popen(["sleep", "60"], cwd=layout.work)
    other = subprocess.Popen(["sleep", "60"], cwd=tmp_path)
    try:
        time.sleep(0.05)
        found = processes.left_behind(layout)
        assert [process.pid for process in found] == [ours.pid]
        assert processes.end(found) == 1
        assert not psutil.pid_exists(ours.pid)
        assert other.poll() is None
    finally:
        ours.kill()
        other.kill()
        other.wait()


def test_a_started_module_sees_its_own_arguments_and_not_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "probe.py").write_text(
        "import gc, importlib.util, sys\n"
        "print(sys.argv[1:], __name__, gc.get_threshold()[0], importlib.util.find_spec('launch'))\n"
    )
    done = subprocess.run(
        [sys.executable, start_python.__file__, "probe", "--port", "1"],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(tmp_path)},
    )
    assert done.stdout.strip() == "['--port', '1'] __main__ 100000 None"


def test_a_control_socket_is_not_put_into_a_folder_others_may_write_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Settings
) -> None:
    folder = tmp_path / "taken"
    folder.mkdir()
    folder.chmod(0o777)
    monkeypatch.setattr(Layout, "supervisor_socket", folder / "supervisord.sock")
    with pytest.raises(ConfigurationError, match="folder that only you can write to"):
        Supervisor(Layout.of(place)).configure(())
