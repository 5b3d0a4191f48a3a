"""The demo's frame: bring the stack up, run the journey, gather the report, say where to look."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from slipway.embedded.airflow_api import AirflowApi
from slipway.embedded.demo import Demo, Journey
from slipway.embedded.demo_report import build_report, newest, seconds_of, show, write_report
from slipway.embedded.local_settings import LocalSettings
from slipway.embedded.stack import Stack
from slipway.embedded.terminal import print_addresses, terminal_progress
from slipway.ledger.store import Ledger
from slipway.release.gateway_client import GatewayClient
from slipway.settings import Settings

UP_SECONDS = 240.0
LINES = ("ingest", "train", "release")


def run_demo(place: Settings, journey: Journey, console: Console, *, stop: bool) -> Path:
    """Run the demo and write ``var/demo/<pipeline>.json``, with ``report.json`` as its copy; returns its path.

    Raises:
        SlipwayError: the stack did not come up, or a run failed; unless ``stop``, the stack stays up for looking.
    """
    stack = Stack(place)
    try:
        path, local = _run(place, stack, journey, console)
        if not stop:
            console.print("\nThe stack stays up; `make down` stops it. Look around:")
            print_addresses(stack, local, console)
    finally:
        if stop:
            stack.down()
            console.print("The local stack is down.")
    return path


def _run(place: Settings, stack: Stack, journey: Journey, console: Console) -> tuple[Path, LocalSettings]:
    begin = time.monotonic()
    with terminal_progress(console, "starting the local stack") as progress:
        local = stack.up(progress, UP_SECONDS)
    up = time.monotonic() - begin
    airflow = AirflowApi(local.airflow_url, local.airflow_login.name, local.airflow_login.password)
    airflow.log_in()
    demo = Demo(airflow, journey, console)
    demo.run()
    tasks = {line: demo.tasks(line) for line in LINES}
    report = gather(local, journey, seconds_of(tasks, up, time.monotonic() - begin))
    path = write_report(place.var / "demo", report)
    show(report, console)
    console.print(f"report: {path}", soft_wrap=True)
    return path, local


def gather(local: LocalSettings, journey: Journey, seconds: dict[str, float]) -> dict[str, object]:
    """The report of the newest registered and released version."""
    ledger = Ledger(local.ledger)
    released = newest(ledger.statements(journey.pipeline, "release"), "release")
    registered = ledger.statements(journey.pipeline, "register")
    return build_report(
        days=journey.days,
        ingested=ledger.statements(journey.pipeline, "features"),
        registered=next(statement for statement in registered if statement.subject == released.subject),
        released=released,
        devices=[asdict(device) for device in GatewayClient(local.channel).devices(journey.pipeline)],
        seconds=seconds,
    )
