"""The training pod quoted MLFLOW_TRACKING_URI, login and password included, when the server did not answer."""

import http.server
import os
import subprocess
import sys
import threading

import pytest

from slipway.settings import settings

ARGUMENTS = ["--pipeline", "flight_delay", "--commit", "a" * 64, "--fingerprint", "b" * 64]
ARGUMENTS += ["--partitions", "2013-01-01", "--holdout", "2013-01-02", "--output", "lakefs://flight-delay/run/models"]


class Refusing(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_error(401)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def refusing():
    with http.server.HTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def train(port: int) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(settings().root / "include"),
        "MLFLOW_TRACKING_URI": f"http://slipway:hunter2-of-mlflow@127.0.0.1:{port}",
        "LAKECTL_SERVER_ENDPOINT_URL": "http://127.0.0.1:1",
        "LAKECTL_CREDENTIALS_ACCESS_KEY_ID": "key",
        "LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY": "secret",
    }
    command = [sys.executable, "-m", "slipway.training", *ARGUMENTS]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_a_server_that_refuses_or_is_away_is_named_without_the_password(refusing):
    for port in (refusing, 1):
        ended = train(port)
        assert ended.returncode == 75, ended.stderr
        assert f"127.0.0.1:{port}" in ended.stderr
        assert "hunter2" not in ended.stderr + ended.stdout
