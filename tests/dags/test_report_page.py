"""The buttons that open quality reports, and the page behind them; here, because both import Airflow."""

from urllib.parse import parse_qs, urlsplit

import pytest
from airflow.api_fastapi.core_api.security import get_user
from fastapi.testclient import TestClient

from slipway.errors import UnavailableError
from slipway.lake.uri import LakeUri
from slipway_airflow import connections, report_page
from slipway_airflow.report_link import ReportLink, address, remember_reports
from tests.simulators.lake import LakeSimulator

PAGE = b"<!doctype html><title>features, 2013-01-01: pass</title>"
DAY = "_quality/features/date=2013-01-01/report.html"


class Task:
    """A task instance as the worker has it when the task ends."""

    dag_id, task_id = "flight_delay.ingest", "publish"

    def __init__(self, run_id="run-1"):
        self.run_id = run_id


@pytest.fixture
def base_url(monkeypatch):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.com/data/")
    return "https://airflow.example.com/data"


def test_a_button_leads_to_the_report_its_task_made(base_url):
    task = Task()
    remember_reports({"ti": task})("features", LakeUri("flight-delay", "c" * 64, DAY))
    link = ReportLink("features").get_link(None, ti_key=task)
    assert link == f"{base_url}/slipway/reports/flight_delay.ingest/{'c' * 64}/{DAY}"
    assert ReportLink("weather").get_link(None, ti_key=task) == ""
    assert ReportLink("features").get_link(None, ti_key=Task("run-2")) == ""


def test_the_tasks_of_the_line_have_a_button_for_every_dataset(dags):
    for dag_id, raw in (("flight_delay.ingest", {"flights", "weather"}), ("digit_reader.ingest", {"digits"})):
        names = {task.task_id: {link.name for link in task.operator_extra_links} for task in dags[dag_id].tasks}
        assert names["features"] == {"Hit or miss", *(f"Quality report: {table}" for table in raw)}
        assert names["publish"] == {"Quality report: features"}
        keys = [link.xcom_key for task in dags[dag_id].tasks for link in task.operator_extra_links]
        assert len(keys) == len(set(keys))


@pytest.fixture
def lake(monkeypatch):
    made = LakeSimulator()
    made.ensure_repository("flight-delay")
    made.create_branch("flight-delay", "run", "main")
    made.put(LakeUri("flight-delay", "run", DAY), PAGE)
    made.put(LakeUri("flight-delay", "run", "raw/secret.html"), b"not a report")
    made.commit("flight-delay", "run", "report", {})
    monkeypatch.setattr(connections, "lake_server", lambda: "the server")
    monkeypatch.setattr(report_page, "Lake", {"the server": made}.__getitem__)
    return made


@pytest.fixture
def browser(lake):
    """A browser of somebody who may see the task."""
    (guard,) = [
        depends.dependency for route in report_page.app.routes for depends in getattr(route, "dependencies", ())
    ]
    report_page.app.dependency_overrides[guard] = lambda: None
    yield TestClient(report_page.app)
    report_page.app.dependency_overrides.clear()


def at(commit, path=DAY, dag="flight_delay.ingest"):
    return f"/{dag}/{commit}/{path}"


def test_a_report_is_shown_as_it_is_in_its_commit_and_can_do_nothing(browser, lake):
    commit = lake.resolve("flight-delay", "run")
    lake.put(LakeUri("flight-delay", "run", DAY), b"changed since")
    answer = browser.get(at(commit))
    assert (answer.status_code, answer.content) == (200, PAGE)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'; style-src 'unsafe-inline'") and "allow" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_nothing_but_reports_at_commits_of_known_pipelines_is_handed_out(browser, lake):
    commit = lake.resolve("flight-delay", "run")
    refused = [
        at(commit, "raw/secret.html"),
        at("run"),
        at("main"),
        at(commit, dag="flight_delay.train"),
        at(commit, dag="no_such_pipeline.ingest"),
        at(commit, "_quality/features/date=2013-01-02/report.html"),
        at(commit, "_quality/../raw/date=2013-01-01/report.html"),
        at(commit, "_quality/%2e%2e%2fraw/date=2013-01-01/report.html"),
        at("0" * 64),
    ]
    for path in refused:
        answer = browser.get(path)
        assert answer.status_code in (404, 422) and b"not a report" not in answer.content, path


def test_a_lake_that_is_away_is_said_to_be_away(browser, monkeypatch):
    def away(_connection):
        raise UnavailableError("lakeFS did not answer")

    monkeypatch.setattr(report_page, "Lake", away)
    answer = browser.get(at("c" * 64))
    assert answer.status_code == 503 and "did not answer" in answer.text


def test_who_is_not_logged_in_gets_nothing_and_a_browser_is_sent_to_the_login(lake, base_url):
    client = TestClient(report_page.app, follow_redirects=False)
    path = at(lake.resolve("flight-delay", "run"))
    refused = client.get(path)
    assert refused.status_code == 401 and PAGE not in refused.content
    sent = client.get(path, headers={"Accept": "text/html,*/*"})
    assert sent.status_code == 303
    then = parse_qs(urlsplit(sent.headers["location"]).query)["next"]
    assert sent.headers["location"].startswith(f"{base_url}/api/v2/auth/login?")
    assert then == [address("flight_delay.ingest", lake.resolve("flight-delay", "run"), DAY)]
    assert then[0].startswith(f"{base_url}/slipway/reports/")


def test_who_may_not_see_the_task_may_not_see_its_reports(lake, monkeypatch):
    from airflow.api_fastapi.core_api import security

    asked = []

    class Manager:
        def is_authorized_dag(self, *, method, access_entity, details, user):
            asked.append((method, access_entity.value, details.id, user))
            return False

    monkeypatch.setattr(security, "get_auth_manager", Manager)
    monkeypatch.setattr(security.DagModel, "get_team_name", lambda dag_id: None)
    report_page.app.dependency_overrides[get_user] = lambda: "somebody"
    try:
        answer = TestClient(report_page.app).get(at(lake.resolve("flight-delay", "run")))
    finally:
        report_page.app.dependency_overrides.clear()
    assert answer.status_code == 403 and PAGE not in answer.content
    assert asked == [("GET", "TASK_INSTANCE", "flight_delay.ingest", "somebody")]


def test_airflow_finds_the_page_and_imports_no_other_file_as_a_plugin():
    from airflow._shared.module_loading.file_discovery import find_path_from_directory

    from slipway.settings import settings
    from slipway_airflow.plugin import SlipwayPlugin

    found = find_path_from_directory(str(settings().root / "plugins"), ".airflowignore", "glob")
    assert [path for path in found if str(path).endswith(".py")] == [
        str(settings().root / "plugins/slipway_airflow/plugin.py")
    ]
    assert "/slipway/reports" in {served["url_prefix"] for served in SlipwayPlugin.fastapi_apps}
