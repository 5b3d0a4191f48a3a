"""Who may see a pipeline's pages: whoever may see the tasks of all its DAGs in Airflow."""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.models.dag import DagModel
from fastapi import HTTPException

LINES = ("ingest", "train", "release")


def may_see(user: Any, pipeline: str) -> bool:
    """Whether a logged-in user may."""
    dags = [f"{pipeline}.{line}" for line in LINES]
    return bool(
        get_auth_manager().batch_is_authorized_dag(
            [
                {
                    "method": "GET",
                    "access_entity": DagAccessEntity.TASK_INSTANCE,
                    "details": DagDetails(id=dag, team_name=DagModel.get_team_name(dag)),
                }
                for dag in dags
            ],
            user=user,
        )
    )


def require_sight(user: Any, *pipelines: str) -> None:
    """Raise 403 unless the user may see all of them: a list with something left out would look complete."""
    hidden = [pipeline for pipeline in pipelines if not may_see(user, pipeline)]
    if hidden:
        raise HTTPException(
            403, f"You may not see the DAGs of {', '.join(hidden)}, and so not how its models were made."
        )
