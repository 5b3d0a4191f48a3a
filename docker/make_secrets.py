"""Generate the secrets and folders of ``docker/compose.yaml``; run through ``docker/make-secrets.sh``.

``secrets.json`` is the source; every other file is made from it, one per container, each with what that container
needs and no more. All of it belongs to the user the containers run as: whoever runs this, or, when that is root, the
images' own user 10001.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets as randomness
import sys
from dataclasses import dataclass
from pathlib import Path

from slipway.connections import LedgerConnection, SigningKeys, database_connection
from slipway.embedded import airflow_home, mlflow_server
from slipway.embedded.layout import Layout
from slipway.embedded.local_settings import Login, fields
from slipway.embedded.secret_store import Secrets, ensure_secrets, load_secrets, write_private
from slipway.embedded.settings_file import SettingsFile, load_settings_file
from slipway.errors import SlipwayError
from slipway.ledger.keys import ensure_keys
from slipway.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = ROOT / "docker" / "airflow" / "airflow_settings.yaml"
IMAGE_USER = 10001
FOLDERS = ("postgres", "lakefs", "mlflow", "channel", "keys", "airflow", "feed", "fleet", "device", "secrets")
INSIDE = Settings(
    root=Path("/opt/slipway"),
    var=Path("/var/slipway"),
    airflow_settings=Path("/opt/slipway/airflow_settings.yaml"),
)
"""Paths inside Airflow's containers."""


@dataclass(frozen=True)
class Owner:
    """Whom the state belongs to, and the group that may talk to the Docker engine (none: no engine here)."""

    uid: int
    gid: int
    docker_gid: int | None


def this_owner(socket: Path) -> Owner:
    """The user of this process, or the images' own where that is root."""
    uid, gid = (os.geteuid(), os.getegid()) if os.geteuid() else (IMAGE_USER, IMAGE_USER)
    return Owner(uid, gid, socket.stat().st_gid if socket.exists() else None)


def prepare(state: Path, owner: Owner) -> None:
    """Write everything below ``state`` (absolute); existing secrets are kept.

    Raises:
        ConfigurationError: an existing ``secrets.json`` is damaged, or the settings file is wrong.
    """
    for folder in (state, *(state / name for name in FOLDERS)):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    secrets = _secrets(state / "secrets.json")
    file = load_settings_file(SETTINGS)
    ensure_keys(SigningKeys.in_folder(state / "keys"))
    for name, text in _files(secrets, file).items():
        write_private(state / "secrets" / name, text)
    _write_airflow(state / "airflow", secrets, file)
    settings = {
        "SLIPWAY_STATE": str(state),
        "SLIPWAY_UID": str(owner.uid),
        "SLIPWAY_GID": str(owner.gid),
        # Nobody's group, where there is no engine to talk to.
        "DOCKER_GID": str(65534 if owner.docker_gid is None else owner.docker_gid),
    }
    write_private(state / "compose.env", _env(settings))
    if os.geteuid() == 0:
        _give(state, owner)


def _secrets(path: Path) -> Secrets:
    known = ensure_secrets(path)
    section = dict(known.values.get("compose", {}))
    for name, bytes_ in (("lakefs_database_password", 32), ("lakefs_encryption_key", 32)):
        section.setdefault(name, randomness.token_urlsafe(bytes_))
    complete = {**known.values, "compose": section}
    # prepare.py looks for every service's database password in one place.
    complete["internal"] = {**known.values["internal"], "lakefs_database_password": section["lakefs_database_password"]}
    if complete != known.values:
        write_private(path, json.dumps(complete, indent=2) + "\n")
    return load_secrets(path)


def _database(secrets: Secrets, file: SettingsFile, name: str, host: str | None = None) -> LedgerConnection:
    """One service's database: inside the containers' network under ``host``, else on this machine's loopback."""
    password = secrets.get("internal", f"{name}_database_password")
    changes: dict[str, object] = {"conn_login": name, "conn_schema": name, "conn_password": password}
    if host is not None:
        changes |= {"conn_host": host, "conn_port": 5432}
    return database_connection(fields(file.connection("slipway_ledger").model_copy(update=changes)))


def _files(secrets: Secrets, file: SettingsFile) -> dict[str, str]:
    """File below ``secrets/`` -> content."""
    access, secret = (secrets.get("lakefs_default", name) for name in ("conn_login", "conn_password"))
    enrolment = secrets.get("slipway_channel", "enrolment_token")
    tokens = {"gateway_enrolment_token": enrolment}
    mlflow = _database(secrets, file, "mlflow", "postgres").url
    login = Login(secrets.get("mlflow_default", "conn_login"), secrets.get("mlflow_default", "conn_password"))
    spark = {
        "SPARK_CONNECT_AUTHENTICATE_TOKEN": secrets.get("spark_default", "conn_password"),
        "LAKECTL_CREDENTIALS_ACCESS_KEY_ID": access,
        "LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY": secret,
        "AWS_ACCESS_KEY_ID": access,
        "AWS_SECRET_ACCESS_KEY": secret,
    }
    return {
        "postgres-password": secrets.get("internal", "postgres_password") + "\n",
        "lakefs.yaml": _lakefs(secrets, file),
        "spark.env": _env(spark),
        "mlflow.env": _env(
            mlflow_server.environment(
                mlflow,
                Path("/var/lib/mlflow"),
                Path("/run/secrets/mlflow-auth"),
                login,
                secrets.get("internal", "mlflow_flask_secret"),
            )
        ),
        "mlflow-auth.ini": mlflow_server.configuration(mlflow),
        "gateway-database": _database(secrets, file, "gateway", "postgres").url + "\n",
        "gateway.json": _json({**tokens, "gateway_operator_token": secrets.get("slipway_channel", "conn_password")}),
        "fleet.json": _json({**tokens, "mlflow_login": login.name, "mlflow_password": login.password}),
        "enrolment-token": enrolment + "\n",
    }


def _lakefs(secrets: Secrets, file: SettingsFile) -> str:
    """lakeFS's configuration; YAML takes JSON. Keys: https://docs.lakefs.io/reference/configuration/."""
    url = _database(secrets, file, "lakefs", "postgres").url.replace("postgresql+psycopg2://", "postgres://")
    return _json(
        {
            "listen_address": "0.0.0.0:8000",  # inside its container
            "database": {"type": "postgres", "postgres": {"connection_string": f"{url}?sslmode=disable"}},
            "auth": {"encrypt": {"secret_key": secrets.get("compose", "lakefs_encryption_key")}},
            "blockstore": {"type": "local", "local": {"path": "/var/lib/lakefs"}},
            "stats": {"enabled": False},
        }
    )


def _write_airflow(home: Path, secrets: Secrets, file: SettingsFile) -> None:
    """The same configuration the local stack uses, with the containers' paths."""
    keys = {name: secrets.get("internal", f"airflow_{name}") for name in ("fernet_key", "jwt_secret", "api_secret")}
    login = secrets.get("slipway_airflow", "conn_login")
    sections = airflow_home.configuration(
        Layout.of(INSIDE),
        file.connection("slipway_airflow").conn_port or 8080,
        login,
        _database(secrets, file, "airflow").url,
        {"fernet": keys["fernet_key"], "jwt": keys["jwt_secret"], "api": keys["api_secret"]},
    )
    write_private(home / "airflow.cfg", airflow_home.render(sections))
    write_private(home / "passwords.json", _json({login: secrets.get("slipway_airflow", "conn_password")}))


def _env(values: dict[str, str]) -> str:
    """Lines ``NAME='value'``, in which compose replaces nothing; no value here holds a quote or a line break."""
    return "".join(f"{name}='{value}'\n" for name, value in values.items())


def _json(value: object) -> str:
    return json.dumps(value) + "\n"


def _give(state: Path, owner: Owner) -> None:
    """As root: hand everything to the images' user, but not what a database already wrote for itself."""
    os.chown(state, owner.uid, owner.gid)
    for path in state.iterdir():
        os.chown(path, owner.uid, owner.gid)
    for folder in ("secrets", "airflow", "keys"):
        for path in (state / folder).iterdir():
            os.chown(path, owner.uid, owner.gid)


def main(arguments: list[str] | None = None) -> int:
    """Prepare the folder; 0, or 1 with one line that says what is wrong."""
    parser = argparse.ArgumentParser(prog="docker/make-secrets.sh", description=__doc__)
    parser.add_argument("--state", type=Path, default=ROOT / "var" / "compose")
    parser.add_argument("--docker-socket", type=Path, default=Path("/var/run/docker.sock"))
    options = parser.parse_args(arguments)
    owner = this_owner(options.docker_socket)
    try:
        prepare(options.state.resolve(), owner)
    except SlipwayError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    if owner.docker_gid is None:
        sys.stderr.write(f"no Docker engine at {options.docker_socket}: run this again where there is one\n")
    sys.stdout.write(f"{options.state}: secrets and folders are ready for docker/compose.yaml\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
