"""A release's tasks as the library's steps: which release a run carries out, and what its phases concluded."""

from __future__ import annotations

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
from slipway_airflow.provenance import run_of


def rollout(name: str, version: str) -> Rollout:
    """The release this run carries out."""
    pipeline = find_pipeline(settings().pipelines, name)
    return recorded(stage.rollout_of(connections.channel(), pipeline, version, get_current_context()["run_id"]))


def recorded(made: Rollout) -> Rollout:
    """The same release, whose publications are in the ledger before they are made."""
    return replace(made, channel=recorded_channel(made.channel, connections.intents()))


def prepare(name: str) -> str:
    """Choose the version the form asks for and sign its files; returns it."""
    params = get_current_context()["params"]
    version = stage.choose_version(connections.mlflow(), name, str(params["version"] or ""))
    stage.prepare(
        rollout(name, version),
        connections.mlflow(),
        connections.channel(),
        connections.ledger(),
        supersede=params["supersede"],
    )
    return version


def complete(name: str, version: str, observed: list[str]) -> dict[str, Any]:
    """Make the version everybody's, after the phases that tasks ``observed`` watched."""
    run = run_of(get_current_context())
    where = (connections.mlflow(), connections.ledger(), phases(observed))
    with connections.intents().intended(intended.set_alias(name, CHAMPION, version)):
        return stage.complete(rollout(name, version), *where, run=run, root=settings().root, approval=approval())


def roll_back(name: str, observed: list[str]) -> None:
    """Return every device to the version before this run's."""
    pipeline, run = find_pipeline(settings().pipelines, name), run_of(get_current_context())
    undone = stage.rollout_of_run(connections.channel(), pipeline, run.run_id)
    stage.roll_back(undone and recorded(undone), connections.ledger(), phases(observed), run=run, root=settings().root)


def approval() -> dict[str, Any] | None:
    """Who said yes, and when; ``None`` when nobody was asked."""
    answer = get_current_context()["ti"].xcom_pull(task_ids="approve")
    if not answer:
        return None
    who = answer.get("responded_by_user") or {}
    return {"by": who.get("name") or who.get("id"), "at": str(answer.get("responded_at") or "")}


def phases(observed: list[str]) -> list[dict[str, Any]]:
    """What the observing tasks concluded so far."""
    ti = get_current_context()["ti"]
    found = (ti.xcom_pull(task_ids=name, key="phase") for name in observed)
    return [record for record in found if record]
