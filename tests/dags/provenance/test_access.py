"""Who may see the pages, and the way to them."""

from urllib.parse import parse_qs, urlsplit

from fastapi import FastAPI
from fastapi.testclient import TestClient

from slipway.connections import LedgerConnection
from slipway_airflow import connections, provenance_page
from tests.simulators.making import making, record_making

HTML = {"Accept": "text/html"}


def test_a_ledger_that_is_down_is_said_to_be_down(browser, ledger, monkeypatch):
    away = LedgerConnection("postgresql+psycopg2://u:p@127.0.0.1:9/ledger", ledger.connection.keys)
    monkeypatch.setattr(connections, "ledger_server", lambda: away)
    answer = browser.get("/flight_delay/versions/3")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "Not available now" in answer.text and "does not answer" in answer.text and "u:p@" not in answer.text


def test_who_may_not_see_the_pipelines_dags_sees_neither_its_versions_nor_its_statements(browser, ledger, manager):
    made = making()
    record_making(ledger, made)
    manager.hidden = {"flight_delay"}
    assert "version 3" not in browser.get("/").text
    for path in ("/flight_delay", "/flight_delay/versions/3", "/flight_delay/versions/3/ingest",
                 f"/statements/{made.trained.fingerprint}"):  # fmt: skip
        answer = browser.get(path)
        assert answer.status_code == 403 and made.trained.fingerprint[:12] not in answer.text
    lines = {("GET", "TASK_INSTANCE", f"flight_delay.{line}", "somebody") for line in ("ingest", "train", "release")}
    assert lines <= set(manager.asked)


def test_who_is_not_logged_in_is_sent_through_the_login_and_back_and_a_program_is_refused(ledger, manager):
    record_making(ledger, making())
    client = TestClient(provenance_page.app, follow_redirects=False)
    path = "/flight_delay/versions/3?x=1"
    refused = client.get(path)
    assert refused.status_code == 401 and "flight_delay" not in refused.text
    sent = client.get(path, headers=HTML)
    assert sent.status_code == 303
    assert sent.headers["location"].startswith("https://airflow.example.com/data/api/v2/auth/login?")
    then = parse_qs(urlsplit(sent.headers["location"]).query)["next"]
    assert then == ["https://airflow.example.com/data/slipway/provenance/flight_delay/versions/3?x=1"]


def test_the_way_back_is_right_where_airflow_has_a_path_of_its_own(ledger, manager):
    server = FastAPI(root_path="/data")
    server.mount("/slipway/provenance", provenance_page.app)
    sent = TestClient(server, follow_redirects=False).get("/data/slipway/provenance/devices/car%201", headers=HTML)
    then = parse_qs(urlsplit(sent.headers["location"]).query)["next"]
    assert then == ["https://airflow.example.com/data/slipway/provenance/devices/car%201"]


def test_airflows_navigation_leads_to_the_pages_also_behind_a_proxy_with_a_path():
    from slipway_airflow.plugin import SlipwayPlugin

    (entry,) = SlipwayPlugin.external_views
    assert (entry["href"], entry["destination"]) == ("slipway/provenance/", "nav") and "url_route" not in entry
    assert "/slipway/provenance" in {served["url_prefix"] for served in SlipwayPlugin.fastapi_apps}
