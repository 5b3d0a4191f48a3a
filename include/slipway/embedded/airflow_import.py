"""Connections, pools and variables of ``airflow_settings.yaml`` put into the running Airflow through its REST API."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from slipway.embedded.local_settings import Login
from slipway.embedded.secret_store import write_private
from slipway.embedded.settings_file import ConnectionEntry, SettingsFile
from slipway.errors import ConfigurationError, UnavailableError

_NOTE = "imported-settings"


def import_settings(url: str, login: Login, file: SettingsFile, home: Path) -> bool:
    """Create or replace every entry of the file; entries made by hand in the UI stay. Returns whether any were sent.

    Nothing is sent while file and secrets are what was sent last (a digest is kept in ``home``). Raises
    UnavailableError when Airflow does not answer, ConfigurationError when it refuses an entry.
    """
    bodies = {
        "connections": [connection_body(entry) for entry in file.connections],
        "pools": [
            {"name": entry.pool_name, "slots": entry.pool_slot, "description": entry.pool_description}
            for entry in file.pools
        ],
        "variables": [{"key": entry.variable_name, "value": entry.variable_value} for entry in file.variables],
    }
    note = home / _NOTE
    digest = hashlib.sha256(json.dumps(bodies, sort_keys=True).encode()).hexdigest()
    if note.exists() and note.read_text(encoding="utf-8").strip() == digest:
        return False
    try:
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
            _send(client, login, bodies, file.path)
    except httpx.TransportError as error:
        raise UnavailableError(f"expected Airflow's API at {url}, got: {error}; see `make status`") from error
    write_private(note, digest + "\n")
    return True


def connection_body(entry: ConnectionEntry) -> dict[str, Any]:
    """A connection as Airflow's API takes it: blank fields are null, extras are JSON text."""
    return {
        "connection_id": entry.conn_id,
        "conn_type": entry.conn_type,
        "host": entry.conn_host or None,
        "schema": entry.conn_schema or None,
        "login": entry.conn_login or None,
        "password": entry.conn_password or None,
        "port": entry.conn_port,
        "extra": json.dumps(entry.conn_extra) if entry.conn_extra else None,
    }


def _send(client: httpx.Client, login: Login, bodies: Mapping[str, list[dict[str, Any]]], path: Path) -> None:
    answer = client.post("/auth/token", json={"username": login.name, "password": login.password})
    if answer.status_code != 201:
        raise ConfigurationError(f"expected Airflow to accept the generated login, it answered {answer.status_code}")
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    for kind, entities in bodies.items():
        if not entities:
            continue
        action = {"action": "create", "entities": entities, "action_on_existence": "overwrite"}
        answer = client.patch(f"/api/v2/{kind}", json={"actions": [action]}, headers=headers)
        problems = _problems(answer)
        if problems:
            raise ConfigurationError(f"{path}: Airflow refused the {kind}: {problems}; correct the file")


def _problems(answer: httpx.Response) -> str:
    """What Airflow refused, without the values it was sent (they hold passwords)."""
    if answer.status_code == 422:
        return "; ".join(f"{detail.get('loc')}: {detail.get('msg')}" for detail in answer.json()["detail"])
    if answer.status_code != 200:
        return f"status {answer.status_code}"
    errors = answer.json().get("create", {}).get("errors", [])
    return "; ".join(str(error.get("error")) for error in errors)
