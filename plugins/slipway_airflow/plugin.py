"""What Slipway adds to Airflow's web server.

Airflow imports this file in every process, also in the scheduler, from which the processes of tasks are forked. So it
imports nothing of Slipway: a task must not find a module that was loaded before its file was edited.
"""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

PREFIX = "/slipway/reports"
"""Where Airflow's web server serves ``slipway_airflow.report_page``."""
PROVENANCE = "/slipway/provenance"
"""Where it serves ``slipway_airflow.provenance_page``."""


async def report_page(scope: Any, receive: Any, send: Any) -> None:
    """``slipway_airflow.report_page.app``, an ASGI application."""
    from slipway_airflow.report_page import app

    await app(scope, receive, send)


async def provenance_page(scope: Any, receive: Any, send: Any) -> None:
    """``slipway_airflow.provenance_page.app``, an ASGI application."""
    from slipway_airflow.provenance_page import app

    await app(scope, receive, send)


class SlipwayPlugin(AirflowPlugin):  # type: ignore[misc]  # Airflow carries no types
    """Quality reports and the provenance of models in the browser."""

    name = "slipway"
    fastapi_apps = [  # noqa: RUF012
        {"app": report_page, "url_prefix": PREFIX, "name": "Slipway's quality reports"},
        {"app": provenance_page, "url_prefix": PROVENANCE, "name": "Slipway's provenance"},
    ]
    # Without `url_route` it opens as a page of its own: the frame Airflow would show it in lets no link lead out of it.
    # Without a leading slash it also leads there where Airflow has a path of its own behind a proxy.
    external_views = [  # noqa: RUF012
        {"name": "Slipway", "href": f"{PROVENANCE.lstrip('/')}/", "destination": "nav", "nav_top_level": True}
    ]
