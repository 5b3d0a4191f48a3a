"""Where the services are: one frozen value per connection.

Airflow tasks build these from Airflow's connections (``slipway_airflow.connections``); the command line and the
local stack build them from ``airflow_settings.yaml`` (``slipway.embedded.local_settings``). The library takes the
values and never asks where it runs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import quote

from slipway.errors import ConfigurationError

Runtime = Literal["process", "docker", "kubernetes"]
_URI = re.compile(r"[a-z][a-z0-9]+:")


@dataclass(frozen=True)
class Fields:
    """A connection as Airflow and Astro's file spell it, before it means anything."""

    conn_id: str
    conn_type: str = ""
    host: str | None = None
    port: int | None = None
    schema: str | None = None
    login: str | None = None
    password: str | None = field(default=None, repr=False)
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def need(self, name: str) -> str:
        """A field that must have a value.

        Raises:
            ConfigurationError: it has none.
        """
        value = getattr(self, name, None) or self.extra.get(name)
        if not value:
            raise ConfigurationError(f"connection {self.conn_id}: expected {name}, but it is empty; set it")
        return str(value)

    def url(self) -> str:
        """``scheme://host:port`` of a web service; ``http`` where nothing says otherwise."""
        host = self.need("host")
        base = host if "://" in host else f"{self.schema or 'http'}://{host}"
        return f"{base}:{self.port}" if self.port else base

    def ui(self) -> str | None:
        """Extra ``ui``: where people's browsers find a service, if that is not where tasks do."""
        return str(self.extra.get("ui") or "").rstrip("/") or None

    def path(self, name: str, *, root: Path, var: Path) -> str:
        """A path of the extras; ``var/...`` lies in the stack's data folder, other relative ones in the project."""
        value = self.need(name)
        if value.startswith("var/"):
            return str(var / value.removeprefix("var/"))
        return str(root / value)


@dataclass(frozen=True)
class LakeConnection:
    """A lakeFS server: ``endpoint`` is its base URL without ``/api/v1``."""

    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)


@dataclass(frozen=True)
class SparkConnection:
    """A Spark: ``remote`` is a Spark Connect URL, ``master`` a classic master; exactly one is set."""

    remote: str | None = field(default=None, repr=False)
    master: str | None = None


@dataclass(frozen=True)
class MlflowConnection:
    """An MLflow tracking and registry server."""

    tracking_uri: str = field(repr=False)


@dataclass(frozen=True)
class SigningKeys:
    """What signs the ledger's statements: private keys by path or by URI (``slipway.ledger.keys``), and whom to trust.

    ``trust`` is the path of the trust file; ``pin`` opens a PKCS#11 token.
    """

    build: str
    approval: str
    trust: str
    pin: str | None = field(default=None, repr=False)

    @classmethod
    def in_folder(cls, folder: Path) -> SigningKeys:
        """Key files under their usual names."""
        return cls(str(folder / "build.pem"), str(folder / "approval.pem"), str(folder / "trust.json"))

    def of(self, role: Literal["build", "approval"]) -> str:
        return self.build if role == "build" else self.approval


@dataclass(frozen=True)
class LedgerConnection:
    """The ledger's database as a SQLAlchemy URL, and what signs its statements; without keys it can only be read."""

    url: str = field(repr=False)
    keys: SigningKeys | None = None


@dataclass(frozen=True)
class ChannelConnection:
    """The release channel: the gateway's URL, where signed files are published, and where the keys are.

    ``repository`` is the folder the gateway serves under ``/tuf/`` (``metadata/`` and ``targets/`` inside);
    ``keys`` holds one private key per TUF role; ``operator_token`` lets the release DAG read evidence.
    """

    gateway: str
    repository: str
    keys: str
    operator_token: str = field(repr=False)


@dataclass(frozen=True)
class ComputeConnection:
    """Where pods run."""

    runtime: Runtime
    namespace: str = "default"
    kubernetes_conn_id: str = "kubernetes_default"


def lake_connection(fields: Fields) -> LakeConnection:
    """lakeFS: host, port, login = access key id, password = secret access key."""
    return LakeConnection(fields.url(), fields.need("login"), fields.need("password"))


def spark_connection(fields: Fields) -> SparkConnection:
    """Spark by connection type, as Airflow's Spark provider spells them.

    ``spark_connect``: host, port, password = token, login = user id, extra ``use_ssl``; ``spark``: host = master.

    Raises:
        ConfigurationError: the type is neither.
    """
    host = f"{fields.need('host')}:{fields.port}" if fields.port else fields.need("host")
    if fields.conn_type == "spark":
        return SparkConnection(master=host)
    if fields.conn_type != "spark_connect":
        raise ConfigurationError(
            f"connection {fields.conn_id}: expected conn_type spark_connect or spark, got {fields.conn_type!r}"
        )
    options = {"user_id": fields.login, "token": fields.password, "use_ssl": fields.extra.get("use_ssl")}
    given = ";".join(f"{name}={quote(str(value))}" for name, value in options.items() if value not in (None, ""))
    return SparkConnection(remote=f"{host if '://' in host else f'sc://{host}'}/;{given}")


def mlflow_connection(fields: Fields) -> MlflowConnection:
    """MLflow: host and port, with login and password where the server wants them."""
    url = fields.url()
    if fields.login and fields.password:
        scheme, rest = url.split("://", 1)
        url = f"{scheme}://{quote(fields.login, safe='')}:{quote(fields.password, safe='')}@{rest}"
    return MlflowConnection(url)


def database_connection(fields: Fields) -> LedgerConnection:
    """PostgreSQL: host, port, schema = database, login, password."""
    login, password = quote(fields.need("login"), safe=""), quote(fields.need("password"), safe="")
    return LedgerConnection(
        f"postgresql+psycopg2://{login}:{password}@{fields.need('host')}:{fields.port or 5432}/{fields.need('schema')}"
    )


def ledger_connection(fields: Fields, *, root: Path, var: Path) -> LedgerConnection:
    """The database, and extras ``build_key``, ``approval_key`` (paths or URIs), ``trust`` (a path) and ``hsm_pin``.

    What is not named lies in ``var/keys``.
    """
    usual = SigningKeys.in_folder(Path("var/keys"))
    named = {"build_key": usual.build, "approval_key": usual.approval, "trust": usual.trust, **fields.extra}
    where = replace(fields, extra=named)

    def key(name: str) -> str:
        return where.need(name) if is_uri(where.need(name)) else where.path(name, root=root, var=var)

    keys = SigningKeys(
        build=key("build_key"),
        approval=key("approval_key"),
        trust=where.path("trust", root=root, var=var),
        pin=str(named["hsm_pin"]) if named.get("hsm_pin") else None,
    )
    return replace(database_connection(fields), keys=keys)


def is_uri(name: str) -> bool:
    """Whether a key is named by a URI (``hsm:2``); everything else is a path."""
    return _URI.match(name) is not None


def channel_connection(fields: Fields, *, root: Path, var: Path) -> ChannelConnection:
    """The gateway's host and port, password = operator token, extras ``repository`` and ``keys`` (folders)."""
    return ChannelConnection(
        gateway=fields.url(),
        repository=fields.path("repository", root=root, var=var),
        keys=fields.path("keys", root=root, var=var),
        operator_token=fields.need("password"),
    )


def compute_connection(fields: Fields) -> ComputeConnection:
    """Where pods run: extra ``runtime``, and for a cluster ``namespace`` and ``kubernetes_conn_id``.

    Raises:
        ConfigurationError: the runtime is not one of ``process``, ``docker``, ``kubernetes``.
    """
    runtime = next((known for known in get_args(Runtime) if known == fields.need("runtime")), None)
    if runtime is None:
        raise ConfigurationError(
            f"connection {fields.conn_id}: expected extra runtime to be one of {get_args(Runtime)}, "
            f"got {fields.need('runtime')!r}"
        )
    return ComputeConnection(
        runtime=runtime,
        namespace=str(fields.extra.get("namespace", "default")),
        kubernetes_conn_id=str(fields.extra.get("kubernetes_conn_id", "kubernetes_default")),
    )
