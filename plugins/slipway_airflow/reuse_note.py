"""Hit or miss in Airflow's web interface: an XCom of the task, and its log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import Context

KEY = "hit_or_miss"
"""Under this key a task's XCom tab shows what was decided, and why."""
LINK = f"_link_{KEY}"
"""Where Airflow keeps where the task's button leads."""


def forced(context: Context) -> bool:
    """Whether the run's form, or the conf of a backfill, asks to make everything again."""
    return bool(context["params"].get("force"))


def note(context: Context, brief: Mapping[str, Any]) -> None:
    """Show on the task what was decided (``Reuse.brief``)."""
    context["ti"].xcom_push(key=KEY, value=dict(brief))
