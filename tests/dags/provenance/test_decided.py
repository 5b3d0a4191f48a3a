"""What a task decided, hit or miss, behind its button."""

import datetime as dt
import json

import pytest
import sqlalchemy as sa
from airflow.api_fastapi.common.db.common import _get_session
from airflow.models.dagrun import DagRun
from airflow.models.xcom import XComModel
from sqlalchemy.orm import Session

from slipway_airflow import provenance_page
from slipway_airflow.reuse_link import HitOrMissLink


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
