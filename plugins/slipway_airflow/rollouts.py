"""A release's tasks as the library's steps: which release a run carries out, and what its phases concluded."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

from airflow.sdk import get_current_context

from slipway.pipeline.load import find_pipeline
from slipway.registry.aliases import CHAMPION
from slipway.release.rollout import Rollout
from slipway.settings import settings
from slipway.stages import intended
from slipway.stages import release as stage
from slipway.stages.recorded import recorded_channel
from slipway_airflow import connections
from slipway_airflow.approval import answers
from slipway_airflow.provenance import run_of

_BEGAN = "began"


def rollout(name: str, version: str) -> Rollout:
    """The release this run carries out."""
    pipeline = find_pipeline(settings().pipelines, name)
    return recorded(stage.rollout_of(connections.channel(), pipeline, version, get_current_context()["run_id"]))


def recorded(made: Rollout) -> Rollout:
    """The same release, whose publications are in the ledger before they are made."""
    return replace(made, channel=recorded_channel(made.channel, connections.intents()))


def prepare(name: str) -> str | None:
    """Choose the version the form asks for and sign its files; returns it, or ``None`` when the fleet is on it now."""
    params, ti = get_current_context()["params"], get_current_context()["ti"]
    ti.xcom_push(key=_BEGAN, value=ti.start_date.isoformat())
    version = stage.choose_version(connections.mlflow(), name, str(params["version"] or ""))
    anything = stage.prepare(
        rollout(name, version),
        connections.mlflow(),
        connections.channel(),
        connections.ledger(),
        supersede=params["supersede"],
    )
    return version if anything else None


def complete(name: str, version: str, observed: list[str]) -> dict[str, Any]:
    """Make the version everybody's, after the phases that tasks ``observed`` watched."""
    where = (connections.mlflow(), connections.ledger(), phases(observed))
    with connections.intents().intended(intended.set_alias(name, CHAMPION, version)):
        return stage.complete(rollout(name, version), *where, **_asked())


def roll_back(name: str, observed: list[str]) -> None:
    """Return every device to the version before this run's."""
    pipeline = find_pipeline(settings().pipelines, name)
    undone = stage.rollout_of_run(connections.channel(), pipeline, get_current_context()["run_id"])
    stage.roll_back(undone and recorded(undone), connections.ledger(), phases(observed), **_asked())


def began() -> dt.datetime:
    """When the run's work on the fleet began: the last start of ``prepare``, after any waiting for a first approval."""
    context = get_current_context()
    told = context["ti"].xcom_pull(task_ids="prepare", key=_BEGAN)
    return dt.datetime.fromisoformat(told) if told else context["ti"].start_date


def phases(observed: list[str]) -> list[dict[str, Any]]:
    """What the observing tasks concluded so far."""
    ti = get_current_context()["ti"]
    found = (ti.xcom_pull(task_ids=name, key="phase") for name in observed)
    return [record for record in found if record]


def _asked() -> dict[str, Any]:
    """Who asked for this release, who allowed it, and since when it goes on."""
    return {
        "run": run_of(get_current_context()),
        "root": settings().root,
        "started": began(),
        "approvals": answers("approve_first", "approve"),
    }
