"""Slipway's pages in Airflow, on a ledger and a fleet of their own."""

import pytest
from airflow.api_fastapi.core_api.security import get_user
from fastapi.testclient import TestClient

from slipway_airflow import connections, page_access, provenance_page
from tests.simulators.ledger import ledger_at
from tests.simulators.making import making, record_making
from tests.simulators.past import FleetSimulator


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
    yield TestClient(provenance_page.app, headers={"Accept": "text/html"}, follow_redirects=False)
    provenance_page.app.dependency_overrides.clear()


@pytest.fixture
def versions(ledger):
    made = making("1"), making("2", lr=0.002, hours=9)
    for one in made:
        record_making(ledger, one)
    return made
