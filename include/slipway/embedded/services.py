"""The services of the local stack as a table: what each runs, what it needs, where it listens.

The table holds values only; ``slipway.embedded.supervision`` starts what stands here.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from slipway.embedded import airflow_home, mlflow_server, postgres, spark_server, start_python
from slipway.embedded.environment import Environment
from slipway.embedded.lakefs_server.users import User

Signal = Literal["TERM", "INT"]
DATABASE_OF_AIRFLOW = "airflow-database"
"""Not a service: the migrated database, which Airflow's processes wait for."""


@dataclass(frozen=True)
class Service:
    """One supervised process.

    ``needs``: services that must answer before this one starts. ``conn_id``: the connection that gives its port
    (none: it listens nowhere). ``ready``: a URL that answers 200 once it works; ``health``: a URL that answers JSON,
    and the component in it whose ``status`` must be healthy; with neither, an open port, or a running process.
    ``directory``: where it stands (none: the stack's work folder). ``user``: the system user it runs as.
    ``files``: private files (mode 0600) written before it starts: path -> content.
    """

    name: str
    title: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    needs: tuple[str, ...] = ()
    conn_id: str | None = None
    port: int | None = None
    ready: str | None = None
    health: tuple[str, str] | None = None
    directory: Path | None = None
    files: Mapping[Path, str] = field(default_factory=dict, repr=False)
    user: str | None = None
    stop_signal: Signal = "TERM"
    stop_seconds: int = 10


def table(environment: Environment, lake_users: Sequence[User] = ()) -> tuple[Service, ...]:
    """Every service this machine runs; one whose connection points elsewhere is left out.

    ``lake_users``: the embedded lake's besides the stack's own; of no concern to who only looks.
    """
    makers: dict[str, Callable[[Environment], Service]] = {
        "lakefs_default": partial(_lake, users=lake_users),
        "spark_default": _spark,
        "mlflow_default": _mlflow,
    }
    embedded = [make(environment) for conn_id, make in makers.items() if environment.file.connection(conn_id).local]
    services = [_postgres(environment), *embedded, _gateway(environment), *_airflow(environment), _fleet(environment)]
    known = {service.name for service in services} | {DATABASE_OF_AIRFLOW}
    return tuple(replace(service, needs=tuple(n for n in service.needs if n in known)) for service in services)


def _postgres(environment: Environment) -> Service:
    port = environment.port("slipway_ledger")
    return Service(
        name="postgres",
        title="PostgreSQL",
        command=postgres.command(environment.layout.postgres, port),
        environment={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
        conn_id="slipway_ledger",
        port=port,
        directory=environment.layout.postgres,
        user=postgres.system_user(),
        stop_signal="INT",  # PostgreSQL's "fast" shutdown: clients are disconnected, data is complete
    )


def _lake(environment: Environment, users: Sequence[User]) -> Service:
    lake, layout, port = environment.local.lake, environment.layout, environment.port("lakefs_default")
    credentials = layout.private / "lakefs.json"
    keys = {"lakefs_access_key": lake.access_key, "lakefs_secret_key": lake.secret_key}
    return Service(
        name="lakefs",
        title="lakeFS (embedded)",
        command=_module(
            "slipway.embedded.lakefs_server", "--data", layout.lake, "--host", "127.0.0.1", "--port", port,
            "--credentials", credentials,
        ),
        environment=environment.base,
        conn_id="lakefs_default",
        port=port,
        ready=f"{lake.endpoint}/api/v1/healthcheck",
        files={credentials: _json(**keys, users=[user.entry for user in users])},
    )  # fmt: skip


def _spark(environment: Environment) -> Service:
    port = environment.port("spark_default")
    token = environment.file.connection("spark_default").conn_password
    return Service(
        name="spark",
        title="Spark Connect",
        command=spark_server.command(environment.layout.spark, port),
        environment={**environment.base, **environment.lake_credentials, **spark_server.environment(token)},
        conn_id="spark_default",
        port=port,
    )


def _mlflow(environment: Environment) -> Service:
    layout, port = environment.layout, environment.port("mlflow_default")
    database = environment.database("mlflow", environment.secrets.get("internal", "mlflow_database_password"))
    login = environment.local.mlflow_login
    configuration = layout.private / "mlflow-auth.ini"
    secret = environment.secrets.get("internal", "mlflow_flask_secret")
    return Service(
        name="mlflow",
        title="MLflow",
        command=mlflow_server.command(port),
        environment={
            **environment.base,
            **mlflow_server.environment(database, layout.mlflow_artifacts, configuration, login, secret),
        },
        needs=("postgres",),
        conn_id="mlflow_default",
        port=port,
        ready=f"{environment.local.mlflow_url}/health",
        files={configuration: mlflow_server.configuration(database)},
    )


def _gateway(environment: Environment) -> Service:
    layout, port, channel = environment.layout, environment.port("slipway_channel"), environment.local.channel
    database, secrets = layout.private / "gateway-database", layout.private / "gateway.json"
    password = environment.secrets.get("internal", "gateway_database_password")
    tokens = {
        "gateway_enrolment_token": environment.local.enrolment_token,
        "gateway_operator_token": channel.operator_token,
    }
    return Service(
        name="gateway",
        title="Fleet gateway",
        command=_module(
            "slipway.gateway", "--host", "127.0.0.1", "--port", port, "--database-url-file", database,
            "--repository", channel.repository, "--secrets", secrets,
        ),
        environment=environment.base,
        needs=("postgres",),
        conn_id="slipway_channel",
        port=port,
        ready=f"{channel.gateway}/healthz",
        files={database: environment.database("gateway", password) + "\n", secrets: _json(**tokens)},
    )  # fmt: skip


def _fleet(environment: Environment) -> Service:
    layout, secrets = environment.layout, environment.layout.private / "fleet.json"
    login = environment.local.mlflow_login
    values = {
        "gateway_enrolment_token": environment.local.enrolment_token,
        "mlflow_login": login.name,
        "mlflow_password": login.password,
    }
    return Service(
        name="fleet",
        title="Simulated fleet",
        command=_module(
            "slipway.embedded.fleet", "--state", layout.fleet, "--gateway", environment.local.channel.gateway,
            "--mlflow", environment.local.mlflow_url, "--secrets", secrets,
            "--pipelines", ",".join(environment.pipelines),
        ),
        environment=environment.base,
        needs=("gateway", "mlflow"),
        files={secrets: _json(**values)},
    )  # fmt: skip


def _airflow(environment: Environment) -> tuple[Service, ...]:
    """Airflow's four processes."""
    variables = airflow_variables(environment)
    titles = {"api-server": "Airflow", "scheduler": "Airflow scheduler"}
    url = environment.local.airflow_url
    services = []
    for name, arguments in airflow_home.SERVICES.items():
        serves = name == "api-server"
        loaded = (start_python.TASK_LIBRARIES,) if name in airflow_home.FORKING else ()
        services.append(
            Service(
                name=f"airflow-{name}",
                title=titles.get(name, f"Airflow {name}"),
                command=(sys.executable, start_python.__file__, *loaded, "airflow", *arguments),
                environment=variables,
                needs=(DATABASE_OF_AIRFLOW,),
                conn_id="slipway_airflow" if serves else None,
                port=environment.port("slipway_airflow") if serves else None,
                ready=f"{url}/api/v2/version" if serves else None,
                health=None if serves else (f"{url}/api/v2/monitor/health", name.replace("-", "_")),
                stop_seconds=15,
            )
        )
    return tuple(services)


def airflow_variables(environment: Environment) -> dict[str, str]:
    """The environment of Airflow's processes and of its command line."""
    return {**environment.base, **airflow_home.environment(environment.layout)}


def _module(name: str, *arguments: object) -> tuple[str, ...]:
    return (sys.executable, "-m", name, *(str(argument) for argument in arguments))


def _json(**values: Any) -> str:
    return json.dumps(values) + "\n"
