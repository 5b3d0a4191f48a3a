"""Buttons on a task that open the quality reports it made."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import attrs
from airflow.sdk import BaseOperatorLink

from slipway.lake.uri import LakeUri
from slipway_airflow.addresses import base_url
from slipway_airflow.plugin import PREFIX

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.types import TaskInstanceKey

    from slipway.stages.gate import Reported

_LOG = logging.getLogger(__name__)
_PAGES: dict[tuple[str, ...], str] = {}
"""Of the tasks that ran in this process: run, task and dataset -> the report's address."""


@attrs.define()
class ReportLink(BaseOperatorLink):  # type: ignore[misc]  # Airflow's SDK carries no types here
    """The button of one dataset's report."""

    dataset: str

    @property
    def name(self) -> str:
        """The button's text."""
        return f"Quality report: {self.dataset}"

    @property
    def xcom_key(self) -> str:
        """Where Airflow keeps the link."""
        return f"_link_quality_{self.dataset}"

    def get_link(self, operator: Any, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002 - Airflow's signature
        """The page's address; empty when the task ended before it had a report.

        Airflow asks as the task ends, in the process in which it ran.
        """
        ti: Any = ti_key  # In the worker this is the task instance itself.
        return _PAGES.get((*_ran(ti), self.dataset), "")


def address(dag_id: str, commit: str, path: str) -> str:
    """Where a browser finds a report that a commit of the DAG's pipeline holds."""
    return f"{base_url()}{PREFIX}/{dag_id}/{commit}/{path}"


def link_reports(task: Any, *datasets: str) -> None:
    """Give a task a button for the report of each dataset."""
    task.operator.operator_extra_links = tuple(ReportLink(dataset) for dataset in datasets)


def remember_reports(context: Context) -> Reported:
    """Note where a task's reports are, for its buttons, and say so in its log."""
    ti: Any = context["ti"]

    def remember(dataset: str, page: LakeUri) -> None:
        _PAGES[(*_ran(ti), dataset)] = found = address(ti.dag_id, page.ref, page.path)
        _LOG.info("quality report of %s: %s", dataset, found)

    return remember


def _ran(ti: Any) -> tuple[str, ...]:
    return ti.dag_id, ti.run_id, ti.task_id
