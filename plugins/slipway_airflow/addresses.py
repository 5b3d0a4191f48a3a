"""Addresses in Airflow's web server, as a browser finds them; imports nothing of Slipway's library."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from airflow.sdk.configuration import conf

from slipway_airflow.plugin import PROVENANCE


def base_url() -> str:
    """Airflow's own address, without a slash at its end."""
    return str(conf.get("api", "base_url", fallback="")).rstrip("/")


def provenance() -> str:
    """Where the provenance pages are."""
    return f"{base_url()}{PROVENANCE}"


def decision(dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> str:
    """The page that says what a task decided, hit or miss."""
    path = "/".join(quote(part, safe="") for part in (dag_id, run_id, task_id))
    return f"{provenance()}/tasks/{path}" + (f"?map_index={map_index}" if map_index >= 0 else "")


def sign_in(then: str) -> str:
    """Airflow's login, which leads on to ``then``."""
    return f"{base_url()}/api/v2/auth/login?{urlencode({'next': then})}"
