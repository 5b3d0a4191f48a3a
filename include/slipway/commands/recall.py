"""``slipway audit commit COMMIT --recall``: the release runs that return devices to a clean version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import typer

from slipway.commands.exits import fail
from slipway.embedded.airflow_api import AirflowApi
from slipway.embedded.local_settings import LocalSettings
from slipway.errors import SlipwayError, UnavailableError
from slipway.ledger.audit.recall import Recall
from slipway.release.channel_state import ChannelState
from slipway.release.fleet_history import Ran


def require_devices(devices: Sequence[Ran] | None) -> None:
    """End the command when the gateway did not say which devices there are: a recall of some would look like all."""
    if devices is None:
        fail(
            UnavailableError("the gateway does not say which devices run what, so nothing is recalled; start it again")
        )


def carry_out(recall: Recall, *, quiet: bool, dry_run: bool, yes: bool) -> dict[str, Any]:
    """Open the run, unless that would do nothing, and say what was done.

    Returns ``model``, ``devices`` (how many run a bad version), ``champion``, ``clean``, ``under_way`` (``release``,
    ``version``, ``percent``; ``null``: no bad version is being released), ``action`` and ``run`` (``dag``, ``id``,
    ``url``, ``conf``; ``null`` without one). Actions: ``opened``; ``exists``: asked for before;
    ``would_open``; ``not_needed``: the clean version is everybody's already; ``no_clean_version``.
    """
    told = {name: getattr(recall, name) for name in ("devices", "champion", "clean")}
    action, run, said = _outcome(recall, dry_run=dry_run, yes=yes)
    if not quiet:
        typer.echo(f"{recall.pipeline}: {said}")
    state = recall.under_way
    told["under_way"] = state and {"release": state.release, "version": state.next, "percent": state.percent}
    return {"model": recall.pipeline, **told, "action": action, "run": run}


def _outcome(recall: Recall, *, dry_run: bool, yes: bool) -> tuple[str, dict[str, Any] | None, str]:
    some = f"{recall.devices} {'device runs' if recall.devices == 1 else 'devices run'} a version made of it"
    local = LocalSettings.load()
    line = f"{local.airflow_url}/dags/{quote(recall.dag_id)}"
    if recall.under_way is not None:
        some += f"; {_under_way(recall.under_way, line)}"
    if recall.clean is None:
        return (
            "no_clean_version",
            None,
            f"{some}; no released version is clean: train and release one; not recalled",
        )
    if not recall.needed:
        return "not_needed", None, f"{some}, and get version {recall.clean}, which is clean, as soon as they ask"
    url = f"{line}/runs/{quote(recall.run_id)}"
    run = {"dag": recall.dag_id, "id": recall.run_id, "url": url, "conf": recall.conf}
    bad = recall.under_way.next if recall.under_way else recall.champion
    change = f"back from version {bad} to {recall.clean}"
    if dry_run:
        return "would_open", run, f"{some}; would open {recall.run_id} of {recall.dag_id}, {change}"
    if not yes:
        typer.confirm(
            f"{recall.pipeline}: {some}. Open a release {change}, for a person to approve?", abort=True, err=True
        )
    try:
        opened, state = _open(AirflowApi(local.airflow_url, *_login(local)), recall)
    except SlipwayError as error:
        fail(error)
    if opened:
        return "opened", run, f"{some}; opened {url}: nothing changes before a person approves it there"
    return "exists", run, f"{some}; asked for before and {state}: {url}; clear its tasks there to go through it again"


def _under_way(state: ChannelState, line: str) -> str:
    """What is going on, and how to end it at once: a line has one run at a time, so a recall's waits for it."""
    back = f"version {state.current}" if state.current else "no version"
    return (
        f"release {state.release} of version {state.next} is under way at {state.percent}%: to end it now, mark the "
        f"task at work in its run failed at {line}/runs, and `roll_back` returns every device to {back}"
    )


def _open(airflow: AirflowApi, recall: Recall) -> tuple[bool, str | None]:
    airflow.log_in()
    airflow.unpause(recall.dag_id)
    opened = airflow.open_run(recall.dag_id, recall.run_id, recall.conf)
    return opened, None if opened else airflow.state(recall.dag_id, recall.run_id)


def _login(local: LocalSettings) -> tuple[str, str]:
    return local.airflow_login.name, local.airflow_login.password
