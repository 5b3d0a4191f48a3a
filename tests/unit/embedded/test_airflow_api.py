"""What the demo asks Airflow, against a small server that answers page by page as Airflow does."""

import json
import threading
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from slipway.embedded.airflow_api import AirflowApi, ImportProblem
from slipway.errors import ConfigurationError, UnavailableError

RUNS = [{"dag_run_id": f"r{n}", "state": "success", "queued_at": "2026-11-01T00:00:00Z"} for n in range(250)]
TRACE = "Traceback (most recent call last):\n  File \"dags/broken.py\"\nKeyError: 'a'\n"
ERRORS = [{"filename": "broken.py", "stack_trace": TRACE}]
TABLES = {"/api/v2/dags/a/dagRuns": ("dag_runs", RUNS), "/api/v2/importErrors": ("import_errors", ERRORS)}


class Airflow(BaseHTTPRequestHandler):
    def do_GET(self):
        url = urlsplit(self.path)
        if url.path not in TABLES:
            self.send_error(404)
            return
        key, rows = TABLES[url.path]
        asked = {name: values[0] for name, values in parse_qs(url.query).items()}
        first = int(asked.get("offset", 0))
        page = rows[first : first + min(int(asked.get("limit", 50)), 100)]
        body = json.dumps({key: page, "total_entries": len(rows)}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def airflow():
    with ThreadingHTTPServer(("127.0.0.1", 0), Airflow) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield AirflowApi(f"http://127.0.0.1:{server.server_port}", "user", "password")
        server.shutdown()


def test_every_run_is_found_though_airflow_cuts_its_pages(airflow):
    assert [run.run_id for run in airflow.runs("a")] == [row["dag_run_id"] for row in RUNS]


def test_a_file_airflow_cannot_read_is_told_with_the_exception_itself(airflow):
    (problem,) = airflow.import_errors()
    assert (problem.file, problem.reason) == ("broken.py", "KeyError: 'a'")
    assert problem == ImportProblem("broken.py", TRACE)


def trace_of(error: Exception) -> str:
    """As Airflow keeps it: the last calls, and the exception."""
    try:
        raise error
    except Exception:
        return traceback.format_exc(limit=-2)


@pytest.mark.parametrize(
    "message", ["x.yaml: 1 problem(s)\n  shedule: unknown key", "a.yaml: 1\n  b: c\nd.yaml: 1\n  e: f", "one line", ""]
)
def test_a_reason_is_the_whole_message_without_the_calls(message):
    told = ImportProblem("pipelines.py", trace_of(ConfigurationError(message))).reason
    assert told == f"slipway.errors.ConfigurationError: {message}".rstrip(": ")


def test_of_chained_exceptions_the_last_is_the_reason():
    try:
        try:
            raise KeyError("a")
        except KeyError as error:
            raise ConfigurationError("x.yaml: 1 problem(s)\n  a: missing") from error
    except ConfigurationError:
        trace = traceback.format_exc(limit=-2)
    told = ImportProblem("pipelines.py", trace).reason
    assert told == "slipway.errors.ConfigurationError: x.yaml: 1 problem(s)\n  a: missing"


def test_a_reason_without_a_trace_is_told_as_it_is_and_a_long_one_is_cut():
    assert ImportProblem("a.py", "timeout after 30 s\n").reason == "timeout after 30 s"
    long = ImportProblem("a.py", trace_of(ConfigurationError("\n".join(map(str, range(50)))))).reason.splitlines()
    assert (len(long), long[-1]) == (21, "… and 30 lines more")


def test_a_dag_airflow_has_not_read_is_missing_and_cannot_be_asked_for(airflow):
    assert not airflow.has_dag("b")
    with pytest.raises(UnavailableError, match="404"):
        airflow.runs("b")
