"""A button on a task that says what it decided, hit or miss, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
from airflow.sdk import BaseOperatorLink

from slipway_airflow.addresses import decision
from slipway_airflow.reuse_note import LINK

if TYPE_CHECKING:
    from airflow.sdk.types import TaskInstanceKey


@attrs.define()
class HitOrMissLink(BaseOperatorLink):  # type: ignore[misc]  # Airflow's SDK carries no types here
    """For tasks that ``reuse_note.note`` what they decided."""

    @property
    def name(self) -> str:
        """The button's text."""
        return "Hit or miss"

    @property
    def xcom_key(self) -> str:
        """Where Airflow keeps the link."""
        return LINK

    def get_link(self, operator: Any, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002 - Airflow's signature
        """The page's address, which also says so when the task ended before it decided."""
        ti: Any = ti_key  # In the worker this is the task instance itself.
        return decision(ti.dag_id, ti.run_id, ti.task_id, ti.map_index)
