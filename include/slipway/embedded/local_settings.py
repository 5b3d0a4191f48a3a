"""The local environment as the values of ``slipway.connections``: ``airflow_settings.yaml`` plus generated secrets.

The command line and the demo use it; inside Airflow the same values come from Airflow's own connections.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from slipway.connections import (
    ChannelConnection,
    ComputeConnection,
    Fields,
    LakeConnection,
    LedgerConnection,
    MlflowConnection,
    SparkConnection,
    channel_connection,
    compute_connection,
    lake_connection,
    ledger_connection,
    mlflow_connection,
    spark_connection,
)
from slipway.embedded.secret_store import Secrets, load_secrets
from slipway.embedded.settings_file import ConnectionEntry, SettingsFile, load_settings_file
from slipway.errors import ConfigurationError
from slipway.settings import Settings, settings

SECRETS_FILE = "secrets.json"


@dataclass(frozen=True)
class Login:
    """A name and a password for a person or a program."""

    name: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class LocalSettings:
    """Where the local services are and how to log in."""

    lake: LakeConnection
    mlflow: MlflowConnection
    ledger: LedgerConnection
    channel: ChannelConnection
    compute: ComputeConnection
    spark: SparkConnection = field(repr=False)
    airflow_url: str
    mlflow_url: str
    """MLflow's address for people, without its login."""
    airflow_login: Login
    mlflow_login: Login
    enrolment_token: str = field(repr=False)

    @classmethod
    def load(cls, where: Settings | None = None) -> LocalSettings:
        """Read the settings file and ``var/secrets.json``.

        Raises ConfigurationError when either is missing or wrong; the message names file and key.
        """
        place = where or settings()
        secrets = load_secrets(place.var / SECRETS_FILE)
        return build(fill(load_settings_file(place.airflow_settings), secrets), secrets, place)


def fill(file: SettingsFile, secrets: Secrets) -> SettingsFile:
    """Complete blank logins and passwords of local connections from the secrets."""
    return file.model_copy(update={"connections": tuple(_filled(file, e, secrets) for e in file.connections)})


def build(file: SettingsFile, secrets: Secrets, place: Settings) -> LocalSettings:
    """The completed file as connection values. Raises ConfigurationError for a missing or wrong key."""
    lake, mlflow, channel, airflow, ledger, spark = (
        _served(file, conn_id)
        for conn_id in (
            "lakefs_default",
            "mlflow_default",
            "slipway_channel",
            "slipway_airflow",
            "slipway_ledger",
            "spark_default",
        )
    )
    try:
        return LocalSettings(
            lake=lake_connection(fields(lake)),
            mlflow=mlflow_connection(fields(mlflow)),
            ledger=ledger_connection(fields(ledger), root=place.root, var=place.var),
            channel=channel_connection(fields(channel), root=place.root, var=place.var),
            compute=compute_connection(fields(file.connection("slipway_compute"))),
            spark=spark_connection(fields(spark)),
            airflow_url=airflow.url,
            mlflow_url=mlflow.url,
            airflow_login=Login(airflow.conn_login, airflow.conn_password),
            mlflow_login=Login(mlflow.conn_login, mlflow.conn_password),
            enrolment_token=secrets.get("slipway_channel", "enrolment_token"),
        )
    except ConfigurationError as error:
        raise ConfigurationError(f"{file.path}: {error}") from error


def fields(entry: ConnectionEntry) -> Fields:
    """An entry of the file as the library's connections take it."""
    return Fields(
        conn_id=entry.conn_id,
        conn_type=entry.conn_type,
        host=entry.conn_host or None,
        port=entry.conn_port,
        schema=entry.conn_schema or None,
        login=entry.conn_login or None,
        password=entry.conn_password or None,
        extra=entry.conn_extra,
    )


def _filled(file: SettingsFile, entry: ConnectionEntry, secrets: Secrets) -> ConnectionEntry:
    section = secrets.values.get(entry.conn_id, {})
    blank = {n: section[n] for n in ("conn_login", "conn_password") if section.get(n) and not getattr(entry, n)}
    if blank and entry.host and not entry.local:
        raise ConfigurationError(
            f"{file.path}: `{entry.conn_id}` is at {entry.host}, which the local stack does not run: expected its "
            f"{' and '.join(blank)}, got nothing; fill them in"
        )
    return entry.model_copy(update=blank)


def _served(file: SettingsFile, conn_id: str) -> ConnectionEntry:
    entry = file.connection(conn_id)
    if not entry.host:
        raise ConfigurationError(f"{file.path}: `{conn_id}.conn_host`: expected where the service is, got nothing")
    if entry.local and entry.conn_port is None:
        raise ConfigurationError(f"{file.path}: `{conn_id}.conn_port`: expected the port to listen on, got nothing")
    return entry
