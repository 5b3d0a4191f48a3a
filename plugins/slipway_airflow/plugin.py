"""What Slipway adds to Airflow's web server.

Airflow imports this file in every process, also in the scheduler, from which the processes of tasks are forked. So it
imports nothing of Slipway: a task must not find a module that was loaded before its file was edited.
"""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

PREFIX = "/slipway/reports"
"""Where Airflow's web server serves ``slipway_airflow.report_page``."""


async def report_page(scope: Any, receive: Any, send: Any) -> None:
    """``slipway_airflow.report_page.app``, an ASGI application."""
    from slipway_airflow.report_page import app

    await app(scope, receive, send)


class SlipwayPlugin(AirflowPlugin):  # type: ignore[misc]  # Airflow carries no types
    """Quality reports in the browser."""

    name = "slipway"
    fastapi_apps = [{"app": report_page, "url_prefix": PREFIX, "name": "Slipway's quality reports"}]  # noqa: RUF012
