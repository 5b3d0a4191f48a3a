"""How ``Lake`` reports a server that is away, overloaded or has other credentials."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from slipway.connections import LakeConnection
from slipway.errors import ConfigurationError, LakeDeniedError, LakeError, UnavailableError
from slipway.lake.client import Lake
from slipway.lake.uri import LakeUri
from tests.simulators.lake import LakeSimulator

COMMIT = b'{"id":"%s","parents":[],"committer":"c","message":"m","creation_date":1,"meta_range_id":"","metadata":{}}'


class Answers(ThreadingHTTPServer):
    """Answers requests with the statuses of ``script`` one after another, then with a commit."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script: list[int] = []
        self.body = COMMIT % (b"a" * 64)
        self.asked = 0


class _Handler(BaseHTTPRequestHandler):
    server: Answers

    def do_GET(self) -> None:
        self.server.asked += 1
        status = self.server.script.pop(0) if self.server.script else 200
        body = self.server.body if status == 200 else b'{"message":"said so"}'
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.do_GET()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def answers() -> Iterator[Answers]:
    with Answers() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def lake_at(server: Answers, patience: float = 5.0) -> Lake:
    return Lake(LakeConnection(f"http://127.0.0.1:{server.server_port}", "key", "secret"), patience_seconds=patience)


def test_an_overloaded_server_is_asked_again_until_it_answers(answers: Answers) -> None:
    answers.script = [429, 503, 500]
    assert lake_at(answers).resolve("flight-delay", "main") == "a" * 64
    assert answers.asked == 4


def test_a_server_that_stays_overloaded_is_unavailable_after_the_patience_ends(answers: Answers) -> None:
    answers.script = [503] * 100
    with pytest.raises(UnavailableError, match=r"503 \(said so\)") as failure:
        lake_at(answers, patience=0.3).resolve("flight-delay", "main")
    assert failure.value.retryable
    assert failure.value.__cause__ is not None
    assert 1 < answers.asked <= 10


@pytest.mark.parametrize("status", [423, 429, 500, 502, 503, 504])
def test_every_answer_that_time_can_heal_is_asked_again(answers: Answers, status: int) -> None:
    answers.script = [status]
    assert lake_at(answers).resolve("flight-delay", "main") == "a" * 64
    assert answers.asked == 2


def test_waits_between_tries_are_random_grow_and_are_bounded_in_number_and_length(
    answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=waits.append))
    for _ in range(20):
        answers.script = [503] * 10
        with pytest.raises(UnavailableError):
            lake_at(answers, patience=1e9).resolve("flight-delay", "main")
        assert answers.script == []
    assert answers.asked == 20 * 10
    assert len(waits) == 20 * 9 == len(set(waits))
    assert 0 < max(waits) <= 3.0
    first, last = waits[0::9], waits[8::9]
    assert max(first) <= 0.1 < max(last)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 412, 501])
def test_what_cannot_succeed_is_not_tried_again(answers: Answers, status: int) -> None:
    answers.script = [status] * 3
    with pytest.raises(LakeError, match="said so"):
        lake_at(answers).resolve("flight-delay", "main")
    assert answers.asked == 1


@pytest.mark.parametrize("body", [b"<html>Log in</html>", b"{]", b'{"id":"a"}', b"\xff\xfe", b""])
def test_an_answer_that_is_not_lakefss_is_an_error_of_the_lake_with_its_cause(answers: Answers, body: bytes) -> None:
    answers.body = body
    lake = lake_at(answers)
    for action in (
        lambda: lake.resolve("flight-delay", "main"),
        lambda: lake.branches("flight-delay"),
        lambda: lake.put(LakeUri("flight-delay", "run", "a"), b"1"),
        lambda: lake.merge("flight-delay", "run", "main", "m", {}),
    ):
        with pytest.raises(LakeError, match="names lakeFS itself") as failure:
            action()
        assert failure.value.__cause__ is not None and not failure.value.retryable


def test_an_unreachable_server_is_unavailable_and_named(answers: Answers) -> None:
    answers.server_close()
    with pytest.raises(UnavailableError, match=f"127.0.0.1:{answers.server_port} did not answer") as failure:
        lake_at(answers, patience=0.2).put(LakeUri("flight-delay", "run", "a"), b"1")
    assert "lakefs_default" in str(failure.value)


def test_the_simulator_can_be_unreachable_too() -> None:
    lake = LakeSimulator()
    lake.reachable = False
    with pytest.raises(UnavailableError):
        lake.resolve("flight-delay", "main")


def test_wrong_credentials_are_denied_and_never_shown(lake_connection: LakeConnection) -> None:
    lake = Lake(LakeConnection(lake_connection.endpoint, lake_connection.access_key, "not-the-secret"))
    with pytest.raises(LakeDeniedError) as failure:
        lake.ensure_repository("denied-repository")
    assert "not-the-secret" not in str(failure.value)


def test_the_environment_names_the_server(lake_connection: LakeConnection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKECTL_SERVER_ENDPOINT_URL", lake_connection.endpoint)
    monkeypatch.setenv("LAKECTL_CREDENTIALS_ACCESS_KEY_ID", lake_connection.access_key)
    monkeypatch.setenv("LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY", lake_connection.secret_key)
    lake = Lake.from_environment()
    lake.ensure_repository("from-environment")
    assert lake.branches("from-environment") == ["main"]


def test_an_environment_without_credentials_says_which_variables_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKECTL_CONFIG_FILE", "/nonexistent/lakectl.yaml")
    for name in ("LAKECTL_SERVER_ENDPOINT_URL", "LAKECTL_CREDENTIALS_ACCESS_KEY_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY", raising=False)
    with pytest.raises(ConfigurationError, match="LAKECTL_SERVER_ENDPOINT_URL"):
        Lake.from_environment()
