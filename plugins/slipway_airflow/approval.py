"""A person's answer that outlasts its task: who said what and when goes into the release's statement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import get_current_context

if TYPE_CHECKING:
    from airflow.sdk import Context

_KEY = "answer"


class Approval(ApprovalOperator):  # type: ignore[misc]
    """Asks, and fails on a no; either answer is kept with the run. Airflow's own forgets a no that fails the task."""

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Take the answer of Airflow's ``event``; see ``HITLOperator``."""
        if "error" not in event:
            context["ti"].xcom_push(key=_KEY, value=_answer(self.task_id, event))
        return super().execute_complete(context, event)


def answers(*tasks: str) -> list[dict[str, Any]]:
    """What people answered to these tasks of the run: ``task``, ``by``, ``at`` (ISO 8601), ``chosen``."""
    ti = get_current_context()["ti"]
    found = (ti.xcom_pull(task_ids=task, key=_KEY) for task in tasks)
    return [answer for answer in found if answer]


def _answer(task: str, event: dict[str, Any]) -> dict[str, Any]:
    who = event.get("responded_by_user") or {}
    return {
        "task": task,
        "by": who.get("name") or who.get("id"),
        "at": event["responded_at"].isoformat(),
        "chosen": list(event["chosen_options"]),
    }
