"""The provenance pages alone, on a small ledger of their own: no Airflow, no stack.

``python -m tests.e2e.provenance_app FOLDER PORT``
"""

import sys
from pathlib import Path

import sqlalchemy as sa
import uvicorn
from airflow.api_fastapi.core_api.security import get_user
from fastapi import FastAPI

from slipway.ledger.schema import STATEMENT
from slipway_airflow import connections, page_access, provenance_page
from slipway_airflow.plugin import PROVENANCE
from tests.simulators.ledger import ledger_at
from tests.simulators.making import making, record_making
from tests.simulators.past import FleetSimulator

DAYS = 31


class Everybody:
    """Lets everybody see everything."""

    def batch_is_authorized_dag(self, requests, *, user):
        return True


def fill(folder: Path):
    """Three versions: one that was replaced, one whose ONNX somebody changed, and the champion."""
    ledger = ledger_at(folder)
    replaced = making("1", days=DAYS, outcomes=["completed"], lr=0.003)
    changed = making("2", days=DAYS, outcomes=["rolled_back"], lr=0.002, hours=8)
    champion = making("3", days=DAYS, outcomes=["rolled_back", "completed"], hours=16)
    for one in (replaced, changed, champion):
        record_making(ledger, one)
    with sa.create_engine(ledger.connection.url).begin() as connection:
        here = STATEMENT.c.fingerprint == changed.exported.fingerprint
        text = connection.execute(sa.select(STATEMENT.c.envelope).where(here)).scalar_one()
        connection.execute(STATEMENT.update().where(here).values(envelope=text.replace('"sig":"', '"sig":"AAAA', 1)))
    return ledger


def fleet() -> FleetSimulator:
    """Ten devices, eight of which came to the champion. All of it long ago: pages ask about now."""
    made, then = FleetSimulator(), -640_000
    for number in range(10):
        made.runs(f"car-{number:02d}", "1", then, "flight_delay-1-0", pipeline="flight_delay")
        made.enrolled[f"car-{number:02d}"] = "x86-cpu-int8"
    for number in range(8):
        made.runs(f"car-{number:02d}", "3", then + 48, "flight_delay-3-1", pipeline="flight_delay")
    return made


def main(folder: Path, port: int) -> None:
    """Serve until stopped."""
    ledger, history = fill(folder), fleet()
    connections.ledger_server = lambda: ledger.connection
    connections.mlflow_pages = lambda: "https://mlflow.example.com"
    connections.lake_pages = lambda: "https://lakefs.example.com"
    provenance_page._fleet = lambda: history
    page_access.get_auth_manager = Everybody
    page_access.DagModel.get_team_name = staticmethod(lambda dag_id: None)
    provenance_page.app.dependency_overrides[get_user] = lambda: "somebody"
    server = FastAPI()
    server.mount(PROVENANCE, provenance_page.app)
    uvicorn.run(server, host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
