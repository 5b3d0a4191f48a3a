"""Programs inside the images, against real services."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from slipway.connections import LakeConnection
from slipway.errors import LakeDeniedError, UnavailableError
from tests.contract.lake.server import running_server
from tests.integration.docker_files import DOCKER, program


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
