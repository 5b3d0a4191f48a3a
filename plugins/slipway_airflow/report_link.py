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
        """The page's address; empty when the task ended before it had a report. Airflow asks as the task ends."""
        ti: Any = ti_key  # In the worker this is the task instance itself.
        page = ti.xcom_pull(task_ids=ti.task_id, key=_key(self.dataset), default=None)
        return _address(ti.dag_id, LakeUri.parse(page)) if page else ""


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
        ti.xcom_push(key=_key(dataset), value=str(page))
        _LOG.info("quality report of %s: %s", dataset, _address(ti.dag_id, page))

    return remember


def _address(dag_id: str, page: LakeUri) -> str:
    return address(dag_id, page.ref, page.path)


def _key(dataset: str) -> str:
    return f"quality_report_{dataset}"
