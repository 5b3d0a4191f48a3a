"""Airflow's connections as the values the library takes; asked for when a task runs, never at parse time."""

from __future__ import annotations

import functools

from airflow.sdk import Connection

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
from slipway.lake.client import Lake
from slipway.ledger.effects import Effects, Intents
from slipway.ledger.store import Ledger
from slipway.settings import settings
from slipway.stages.recorded import recorded_lake
from slipway_airflow.effects import intents as step_intents


def _fields(conn_id: str) -> Fields:
    found = Connection.get(conn_id)
    return Fields(
        conn_id=conn_id,
        conn_type=found.conn_type,
        host=found.host,
        port=found.port,
        schema=found.schema,
        login=found.login,
        password=found.password,
        extra=found.extra_dejson,
    )


def lake_server() -> LakeConnection:
    """The lakeFS server of connection ``lakefs_default``."""
    return lake_connection(_fields("lakefs_default"))


def lake() -> Lake:
    """The lake on it, for the task at work: what it changes there is in the ledger first."""
    return recorded_lake(_lake(), intents(), settings().var / "locks")


@functools.cache
def _lake() -> Lake:
    return Lake(lake_server())


def lake_pages() -> str | None:
    """Where people look at the lake: extra ``ui`` of its connection; the local stack's server has no pages."""
    return _fields("lakefs_default").ui()


def ledger_server() -> LedgerConnection:
    """The ledger's database and keys, of connection ``slipway_ledger``."""
    return ledger_connection(_fields("slipway_ledger"), root=settings().root, var=settings().var)


@functools.cache
def ledger() -> Ledger:
    """The ledger there, opened once per process."""
    return Ledger(ledger_server())


@functools.cache
def effects() -> Effects:
    """The effects of the same ledger."""
    return Effects(ledger().connection)


def intents() -> Intents:
    """What the task at work sets out to do."""
    return step_intents(effects())


def spark() -> SparkConnection:
    """The Spark of connection ``spark_default``."""
    return spark_connection(_fields("spark_default"))


def mlflow() -> MlflowConnection:
    """The registry of connection ``mlflow_default``."""
    return mlflow_connection(_fields("mlflow_default"))


def mlflow_pages() -> str:
    """Where people look at the registry: extra ``ui`` of its connection, or the server itself."""
    fields = _fields("mlflow_default")
    return fields.ui() or fields.url().rstrip("/")


def channel() -> ChannelConnection:
    """The release channel of connection ``slipway_channel``."""
    return channel_connection(_fields("slipway_channel"), root=settings().root, var=settings().var)


def compute(conn_id: str = "slipway_compute") -> ComputeConnection:
    """Where pods run, by connection ``slipway_compute``."""
    return compute_connection(_fields(conn_id))


def pod_secrets() -> dict[str, dict[str, str]]:
    """What a cluster keeps as Secret objects, for runtimes that are not a cluster."""
    connection = lake_server()
    return {
        "slipway-lakefs": {
            "endpoint": connection.endpoint,
            "access-key": connection.access_key,
            "secret-key": connection.secret_key,
        },
        "slipway-mlflow": {"tracking-uri": mlflow().tracking_uri},
    }
