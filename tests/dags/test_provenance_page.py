"""How models were made, as pages of Airflow's web server; here, because they import Airflow."""

import datetime as dt
import json
from urllib.parse import parse_qs, urlsplit

import pytest
import sqlalchemy as sa
from airflow.api_fastapi.common.db.common import _get_session
from airflow.api_fastapi.core_api.security import get_user
from airflow.models.dagrun import DagRun
from airflow.models.xcom import XComModel
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from slipway.connections import LedgerConnection
from slipway.ledger.schema import STATEMENT
from slipway_airflow import connections, page_access, provenance_page
from slipway_airflow.reuse_link import HitOrMissLink
from tests.simulators.ledger import ledger_at
from tests.simulators.making import AIRFLOW, making, record_making
from tests.simulators.past import FleetSimulator

HTML = {"Accept": "text/html"}


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    made = ledger_at(tmp_path)
    monkeypatch.setattr(connections, "ledger_server", lambda: made.connection)
    monkeypatch.setattr(connections, "mlflow_pages", lambda: "https://mlflow.example.com")
    monkeypatch.setattr(connections, "lake_pages", lambda: None)
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.com/data/")
    return made


class Manager:
    """Lets nobody see the DAGs of ``hidden``."""

    def __init__(self):
        self.hidden, self.asked = set(), []

    def batch_is_authorized_dag(self, requests, *, user):
        self.asked += [(one["method"], one["access_entity"].value, one["details"].id, user) for one in requests]
        return not any(one["details"].id.partition(".")[0] in self.hidden for one in requests)


@pytest.fixture
def manager(monkeypatch):
    made = Manager()
    monkeypatch.setattr(page_access, "get_auth_manager", lambda: made)
    monkeypatch.setattr(page_access.DagModel, "get_team_name", lambda dag_id: None)
    return made


@pytest.fixture
def fleet(monkeypatch):
    made = FleetSimulator()
    made.runs("car-1", "1", -640_000, "flight_delay-1-0", pipeline="flight_delay")
    made.runs("car-1", "2", -639_000, "flight_delay-2-0", pipeline="flight_delay")
    made.runs("car-2", "1", -640_000, "flight_delay-1-0", pipeline="flight_delay")
    made.enrolled["car-1"] = "x86-cpu-int8"
    monkeypatch.setattr(provenance_page, "_fleet", lambda: made)
    return made


@pytest.fixture
def browser(ledger, manager, fleet):
    provenance_page.app.dependency_overrides[get_user] = lambda: "somebody"
    yield TestClient(provenance_page.app, headers=HTML, follow_redirects=False)
    provenance_page.app.dependency_overrides.clear()


def spoil(ledger, stage, **values):
    """Change rows of the ledger behind its back."""
    engine = sa.create_engine(ledger.connection.url)
    with engine.begin() as connection:
        connection.execute(STATEMENT.update().where(STATEMENT.c.stage == stage).values(**values))


def test_the_way_in_lists_versions_marks_the_champion_and_says_how_releases_ended(browser, ledger):
    record_making(ledger, making("1", outcomes=["completed"]))
    record_making(ledger, making("2", lr=0.002, outcomes=["rolled_back"], hours=9))
    page = browser.get("/").text
    base = "https://airflow.example.com/data/slipway/provenance"
    first, second = (f'<a href="{base}/flight_delay/versions/{number}">version {number}</a>' for number in (1, 2))
    assert f'{first} <span class="badge mark">champion</span>' in page
    assert second in page and page.count("champion") == 1
    assert page.index(second) < page.index(first)
    assert ">completed 2099-" in page and ">rolled back 2099-" in page
    assert "Handwritten digit reader" in page and "No version is registered yet." in page


def test_every_page_runs_no_script_loads_nothing_and_is_kept_by_nobody(browser, ledger):
    made = making()
    record_making(ledger, made)
    for path in ("/", "/flight_delay", "/flight_delay/versions/3", f"/statements/{made.trained.fingerprint}"):
        answer = browser.get(path)
        assert answer.status_code == 200 and answer.headers["content-type"] == "text/html; charset=utf-8", path
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-") and "unsafe" not in policy
        assert "frame-ancestors 'self'" in policy and "form-action 'self'" in policy
        assert answer.headers["cache-control"] == "private, no-store"
        assert "<script" not in answer.text and " src=" not in answer.text and " style=" not in answer.text


def test_a_version_leads_to_its_statements_and_to_the_services_outside(browser, ledger):
    made = making(days=4)
    record_making(ledger, made)
    page = browser.get("/flight_delay/versions/3").text
    for one in (made.trained, made.exported, *made.compiled, made.registered, *made.released):
        assert f"/statements/{one.fingerprint}" in page
        assert browser.get(f"/statements/{one.fingerprint}").status_code == 200
    assert "4 partitions" in page and "/flight_delay/versions/3/features" in page
    assert made.data[0].fingerprint not in page
    assert "https://mlflow.example.com/#/models/flight_delay/versions/3" in page
    assert f"{AIRFLOW}/dags/flight_delay.train/runs/" in page
    assert "Proved." in page and 'class="node broken' not in page
    parts = browser.get("/flight_delay/versions/3/ingest").text
    assert all(one.fingerprint in parts for one in made.data if one.stage == "ingest")


def test_a_lake_with_pages_is_linked_and_one_without_is_named(browser, ledger, monkeypatch):
    made = making()
    record_making(ledger, made)
    place = made.trained.commits["model"]
    named = browser.get(f"/statements/{made.trained.fingerprint}").text
    assert f"<code>lakefs://{place}</code>" in named
    monkeypatch.setattr(connections, "lake_pages", lambda: "https://lakefs.example.com")
    linked = browser.get(f"/statements/{made.trained.fingerprint}").text
    repository, commit = place.split("@")
    assert f'href="https://lakefs.example.com/repositories/{repository}/commits/{commit}"' in linked


def test_a_changed_statement_is_shown_as_broken_and_so_is_every_version_made_of_it(browser, ledger):
    made = making()
    record_making(ledger, made)
    forged = ledger.find(made.exported.fingerprint)
    with sa.create_engine(ledger.connection.url).begin() as connection:
        text = connection.execute(sa.select(STATEMENT.c.envelope).where(STATEMENT.c.id == forged.id)).scalar_one()
    other = ledger.find(made.trained.fingerprint).envelope.to_dict()["signatures"][0]["sig"]
    own = forged.envelope.to_dict()["signatures"][0]["sig"]
    spoil(ledger, "export", envelope=text.replace(own, other))
    page = browser.get("/flight_delay/versions/3").text
    assert "Not proved." in page and "✗ does not verify" in page and page.count('class="node broken') == 2
    one = browser.get(f"/statements/{made.exported.fingerprint}").text
    assert "Does not verify." in one and "was changed" in one and "<b>Verifies.</b>" not in one
    spoil(ledger, "export", envelope="{}")
    empty = browser.get(f"/statements/{made.exported.fingerprint}")
    assert empty.status_code == 200 and "Does not verify." in empty.text
    assert "Not proved." in browser.get("/flight_delay/versions/3").text


def test_a_row_that_claims_to_be_another_is_broken(browser, ledger):
    record_making(ledger, making())
    spoil(ledger, "register", subject="4")
    page = browser.get("/flight_delay/versions/4").text
    assert "Not proved." in page and "was changed" in page
    assert "does not verify" in browser.get("/").text


def test_a_missing_link_is_named_on_the_statement_that_lacks_it(browser, ledger):
    made = making()
    ledger.record(*(one for one in made.all if one.stage != "export"))
    page = browser.get("/flight_delay/versions/3").text
    assert (
        "Not proved." in page
        and "✗ not proved" in page
        and "nobody is on record for models/export/3/model.onnx" in page
    )
    assert "nobody is on record for it" in browser.get(f"/statements/{made.registered.fingerprint}").text


def test_disputed_statements_are_red_on_every_page(browser, ledger):
    from dataclasses import replace

    from slipway.errors import DisputedError

    made = making()
    record_making(ledger, made)
    name = next(iter(made.trained.outputs))
    with pytest.raises(DisputedError):
        ledger.record(replace(made.trained, outputs={**made.trained.outputs, name: "f" * 64}))
    one = browser.get(f"/statements/{made.trained.fingerprint}").text
    assert "Disputed." in one and "Others with the same fingerprint" in one and "ffffffffffff" in one
    page = browser.get("/flight_delay/versions/3").text
    assert "Not proved." in page and "✗ disputed" in page


def test_a_statement_says_what_differs_from_the_closest_one_before(browser, ledger):
    record_making(ledger, making("1"))
    second = making("2", lr=0.002, hours=9)
    record_making(ledger, second)
    page = browser.get(f"/statements/{second.trained.fingerprint}").text
    assert "<li>parameter lr 0.001 → 0.002</li>" in page
    assert "No ingest of flight_delay was made before." in browser.get(f"/statements/{second.data[0].fingerprint}").text


def test_names_from_data_are_text_and_never_markup(browser, ledger):
    from tests.simulators.ledger import statement

    hostile = '"><script>alert(1)</script>'
    made = statement(
        "train", hostile, pipeline="flight_delay", details={"x": hostile}, execution=_of("javascript:alert(1)")
    )
    ledger.record(made)
    page = browser.get(f"/statements/{made.fingerprint}").text
    assert (
        "<script" not in page
        and "javascript:" not in page.replace("&lt;", "<").split("<h2>Ingredients")[0].split("href")[1]
    )
    assert 'href="javascript:' not in page and "&lt;script&gt;alert(1)" in page


def _of(url):
    from dataclasses import replace

    from tests.simulators.ledger import execution

    return replace(execution(), run_url=url)


@pytest.mark.parametrize(
    "path",
    ["/statements/" + "0" * 64, "/statements/short", "/flight_delay/versions/99", "/no_such_pipeline",
     "/Bad!/versions/1", "/flight_delay/versions/3/nothing", "/nowhere/at/all/there"],
)  # fmt: skip
def test_what_does_not_exist_is_a_page_that_says_so(browser, ledger, path):
    record_making(ledger, making())
    answer = browser.get(path)
    assert answer.status_code == 404 and "Not found" in answer.text
    assert browser.get(path, headers={"Accept": "application/json"}).json()["detail"]


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


@pytest.fixture
def versions(ledger):
    made = making("1"), making("2", lr=0.002, hours=9)
    for one in made:
        record_making(ledger, one)
    return made


def test_a_commit_shows_the_versions_made_of_it_and_the_devices_that_run_them(browser, fleet, versions):
    commit = versions[0].trained.commits["data"].partition("@")[2]
    page = browser.get(f"/commits/{commit}").text
    assert "/flight_delay/versions/1" in page and "/flight_delay/versions/2" in page
    assert "<b>2 versions</b> made of it; 2 devices run one of them now." in page
    assert "/devices/car-1" in page and "/devices/car-2" in page
    only = browser.get(f"/commits/{versions[1].trained.commits['model'].partition('@')[2]}").text
    assert (
        "/flight_delay/versions/2" in only and "/flight_delay/versions/1" not in only and "/devices/car-2" not in only
    )


def test_a_device_shows_what_drove_it_then_and_how_that_was_made(browser, fleet, versions):
    page = browser.get("/devices/car-1").text
    assert "What drove car-1" in page and "Proved." in page and versions[1].registered.fingerprint in page
    assert "x86-cpu-int8" in page and "openvino-cpu" not in page.partition("What it ran")[0]
    assert versions[1].released[0].fingerprint in page
    then = browser.get("/devices/car-1?at=2026-01-15T00:00").text
    assert versions[0].registered.fingerprint in then
    assert "Not known." in browser.get("/devices/car-1?at=1999-01-01T00:00Z").text


def test_a_gateway_that_is_down_leaves_a_gap_that_is_red_where_the_ledger_can_still_answer(browser, fleet, versions):
    fleet.reachable = False
    commit = versions[0].trained.commits["data"].partition("@")[2]
    page = browser.get(f"/commits/{commit}")
    assert page.status_code == 200 and "which devices run them is not known now" in page.text
    assert "<b>Not known.</b> no answer" in page.text and "0 devices" not in page.text
    version = browser.get("/flight_delay/versions/1")
    assert version.status_code == 200 and "the gateway is silent" in version.text and "0 devices" not in version.text
    device = browser.get("/devices/car-1")
    assert (device.status_code, device.headers["retry-after"]) == (503, "5")


def test_an_unknown_commit_device_and_an_unreadable_time_are_pages_that_say_so(browser, fleet, versions):
    for path in ("/commits/" + "0" * 64, "/commits/short", "/devices/car-99"):
        answer = browser.get(path)
        assert answer.status_code == 404 and "Not found" in answer.text, path
    assert browser.get("/devices/car-1?at=yesterday").status_code == 400


def test_a_recall_list_with_something_this_person_may_not_see_is_not_shown_in_part(browser, fleet, versions, manager):
    manager.hidden = {"flight_delay"}
    for path in ("/commits/" + versions[0].trained.commits["data"].partition("@")[2], "/devices/car-1"):
        answer = browser.get(path)
        assert answer.status_code == 403 and "versions/1" not in answer.text
    found = browser.get(f"/find?q={versions[0].trained.fingerprint}")
    assert found.headers["location"].endswith(f"/devices/{versions[0].trained.fingerprint}")


@pytest.mark.parametrize(
    ("asked", "path"),
    [("car-1", "/devices/car-1"), ("flight_delay 2", "/flight_delay/versions/2"), ("2", "/flight_delay/versions/2"),
     ("flight_delay, version 2", "/flight_delay/versions/2"), ("../..//evil", "/devices/..%2F..%2F%2Fevil")],
)  # fmt: skip
def test_a_search_leads_to_what_was_meant(browser, fleet, versions, asked, path):
    answer = browser.get("/find", params={"q": asked})
    assert answer.status_code == 303
    assert answer.headers["location"] == f"https://airflow.example.com/data/slipway/provenance{path}"


def test_a_search_finds_statements_and_commits_by_how_they_begin(browser, fleet, versions):
    fingerprint = versions[0].trained.fingerprint
    commit = versions[0].trained.commits["model"].partition("@")[2]
    for asked, path in ((fingerprint[:12], f"/statements/{fingerprint}"), (commit[:12], f"/commits/{commit}")):
        assert browser.get("/find", params={"q": asked}).headers["location"].endswith(path)


class DecidedTask:
    """A task instance as the worker has it when the task ends."""

    dag_id, task_id, run_id = "flight_delay.train", "compile", "manual__2026-03-01T00:00:00+00:00"

    def __init__(self, map_index, brief):
        self.map_index, self.brief = map_index, brief

    def xcom_pull(self, *, task_ids, key, map_indexes, default):
        assert (task_ids, key, map_indexes) == (self.task_id, "hit_or_miss", self.map_index)
        return self.brief or default


def test_a_pod_task_has_a_button_that_leads_to_what_it_decided(ledger, dags):
    pods = [task for task in dags["flight_delay.train"].tasks if task.task_id in ("train", "export", "compile")]
    assert [[link.name for link in task.operator_extra_links] for task in pods] == [["Hit or miss"]] * 3
    base = "https://airflow.example.com/data/slipway/provenance/tasks/flight_delay.train"
    link = HitOrMissLink().get_link(None, ti_key=DecidedTask(2, {"outcome": "hit"}))
    assert link == f"{base}/manual__2026-03-01T00%3A00%3A00%2B00%3A00/compile?map_index=2"
    assert "?" not in HitOrMissLink().get_link(None, ti_key=DecidedTask(-1, {"outcome": "hit"}))


@pytest.fixture
def push(browser, tmp_path):
    """Pushes what a task decided into Airflow's own tables, as a task does."""
    engine = sa.create_engine(f"sqlite:///{tmp_path}/airflow.db")
    tables = [DagRun.__table__, XComModel.__table__]
    DagRun.metadata.create_all(engine, tables=tables)
    overrides = provenance_page.app.dependency_overrides
    (route,) = [one for one in provenance_page.app.routes if one.path.startswith("/tasks/")]
    overrides[route.dependencies[0].dependency] = lambda: None
    runs = iter(range(1, 100))

    def pushed(task_id, map_index, brief):
        number, ids = next(runs), {"dag_id": "flight_delay.train", "run_id": f"run {task_id}"}
        now = dt.datetime.now(dt.UTC)
        run = {"id": number, "run_type": "manual", "run_after": now, "log_template_id": 1, "clear_number": 0, **ids}
        value = {"dag_run_id": number, "task_id": task_id, "map_index": map_index, "key": "hit_or_miss", "value": brief}
        with engine.begin() as connection:
            connection.execute(sa.insert(DagRun.__table__), run)
            connection.execute(sa.insert(XComModel.__table__), {**value, "timestamp": now, **ids})

    with Session(engine) as session:
        overrides[_get_session] = lambda: session
        yield pushed


def test_what_a_task_decided_is_a_page_with_the_reasons_and_a_way_to_the_statement(browser, versions, push):
    trained = versions[1].trained
    brief = {
        "stage": "train", "subject": trained.subject, "fingerprint": trained.fingerprint, "outcome": "miss",
        "reasons": ["parameter lr 0.001 → 0.002", "<b>"],
    }  # fmt: skip
    push("train", -1, brief)
    page = browser.get("/tasks/flight_delay.train/run%20train/train").text
    assert f"train of {trained.subject}: miss" in page
    assert "<li>parameter lr 0.001 → 0.002</li><li>&lt;b&gt;</li>" in page
    assert f"/statements/{trained.fingerprint}" in page
    # As the triggerer writes it.
    push("compile", 2, json.dumps({**brief, "fingerprint": "0" * 64}))
    mapped = "/tasks/flight_delay.train/run%20compile/compile"
    assert "no statement of it yet" in browser.get(f"{mapped}?map_index=2").text
    for nothing in (mapped, f"{mapped}?map_index=1", "/tasks/flight_delay.train/run%202/train"):
        assert browser.get(nothing).status_code == 404
