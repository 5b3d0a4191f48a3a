"""Where Slipway's pages in Airflow's web server are, as a browser finds them."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from airflow.sdk.configuration import conf

from slipway.ledger.pages.links import Links
from slipway_airflow import connections
from slipway_airflow.plugin import PROVENANCE


def base_url() -> str:
    """Airflow's own address, without a slash at its end."""
    return str(conf.get("api", "base_url", fallback="")).rstrip("/")


def page_links() -> Links:
    """The links of the provenance pages."""
    return Links(f"{base_url()}{PROVENANCE}", mlflow=connections.mlflow_pages(), lakefs=connections.lake_pages())


def decision_address(dag_id: str, run_id: str, task_id: str, map_index: int) -> str:
    """The page that says what a task decided."""
    path = "/".join(quote(part, safe="") for part in (dag_id, run_id, task_id))
    return f"{base_url()}{PROVENANCE}/tasks/{path}" + (f"?map_index={map_index}" if map_index >= 0 else "")


def sign_in(then: str) -> str:
    """Airflow's login, which leads on to ``then``."""
    return f"{base_url()}/api/v2/auth/login?{urlencode({'next': then})}"
