"""The training pod quoted MLFLOW_TRACKING_URI, login and password included, when the server did not answer."""

import http.server
import os
import subprocess
import sys
import threading

import pytest
import requests

from slipway.connections import MlflowConnection
from slipway.errors import ConfigurationError, SlipwayError
from slipway.registry import client as registry
from slipway.settings import settings

ARGUMENTS = ["--pipeline", "flight_delay", "--commit", "a" * 64, "--fingerprint", "b" * 64]
ARGUMENTS += ["--partitions", "2013-01-01", "--holdout", "2013-01-02", "--output", "lakefs://flight-delay/run/models"]


PASSWORD = "hunter2-of-mlflow"


class Refusing(http.server.BaseHTTPRequestHandler):
    status = 401

    def do_GET(self):
        self.send_error(self.status)

    do_POST = do_GET  # noqa: N815 - the name http.server looks for

    def log_message(self, *arguments):
        pass


class Failing(Refusing):
    status = 500


@pytest.fixture(params=[Refusing, Failing, None])
def port(request):
    """Of a server that refuses, of one that fails, and of none."""
    if request.param is None:
        yield 1
        return
    with http.server.HTTPServer(("127.0.0.1", 0), request.param) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def address(port: int) -> str:
    return f"http://slipway:{PASSWORD}@127.0.0.1:{port}"


def train(port: int) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(settings().root / "include"),
        "MLFLOW_TRACKING_URI": address(port),
        "LAKECTL_SERVER_ENDPOINT_URL": "http://127.0.0.1:1",
        "LAKECTL_CREDENTIALS_ACCESS_KEY_ID": "key",
        "LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY": "secret",
    }
    command = [sys.executable, "-m", "slipway.training", *ARGUMENTS]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def told(error: BaseException | None) -> str:
    """The text of an error and of every error it hangs together with, hidden ones too."""
    return "" if error is None else f"{error} {error!r} {told(error.__cause__)} {told(error.__context__)}"


def test_a_server_that_refuses_fails_or_is_away_is_named_without_the_password(port):
    ended = train(port)
    assert ended.returncode == 75, ended.stderr
    assert f"127.0.0.1:{port}" in ended.stderr
    assert PASSWORD not in ended.stderr + ended.stdout


def ask_mlflow(uri: str) -> None:
    from mlflow.tracking import MlflowClient

    MlflowClient(uri).get_experiment_by_name("flight_delay")


def download(uri: str) -> None:
    requests.get(f"{uri}/file", timeout=5).raise_for_status()


@pytest.mark.parametrize("ask", [ask_mlflow, download])
def test_no_error_of_the_training_pod_carries_the_password_along(port, ask, monkeypatch):
    from slipway.training import tracking

    monkeypatch.setenv("MLFLOW_TRACKING_URI", address(port))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(SlipwayError) as caught, tracking.translated():
        ask(address(port))
    assert f"127.0.0.1:{port}" in told(caught.value)
    assert PASSWORD not in told(caught.value)


def test_nor_does_one_of_its_first_question(port, monkeypatch):
    from slipway.training import tracking

    monkeypatch.setenv("MLFLOW_TRACKING_URI", address(port))
    with pytest.raises(SlipwayError) as caught:
        tracking.client_from_environment()
    assert PASSWORD not in told(caught.value)


def test_nor_does_one_of_the_registry(port, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(SlipwayError) as caught, registry.translated(MlflowConnection(address(port))):
        ask_mlflow(address(port))
    assert PASSWORD not in told(caught.value)


@pytest.mark.parametrize("password", ["hunter2/with", "hunter2[with", "hunter2@with"])
def test_a_password_nobody_encoded_is_not_printed_in_parts(password, monkeypatch):
    from slipway.training import tracking

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://slipway:{password}@127.0.0.1:1")
    with pytest.raises(SlipwayError) as caught:
        tracking.client_from_environment()
    assert "hunter2" not in told(caught.value) and "with" not in str(caught.value).split("it is no URL")[0]
    assert isinstance(caught.value, ConfigurationError) or "127.0.0.1:1" in str(caught.value)
