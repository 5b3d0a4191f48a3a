"""Airflow's own folder in the local stack: its configuration, its login, its command line and its database."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from slipway.embedded.layout import Layout
from slipway.embedded.secret_store import write_private
from slipway.errors import UnavailableError

SERVICES: Mapping[str, tuple[str, ...]] = {
    "api-server": ("api-server",),
    # Task logs are read from the shared folder; the log servers would listen on every address.
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}
"""Airflow's processes: name -> arguments of its command line."""
FORKING = frozenset({"scheduler", "dag-processor", "triggerer"})
"""Those that fork a process for every task or DAG file, or one for all triggers."""


def executable() -> Path:
    """Airflow's command line beside the running Python."""
    return Path(sys.executable).parent / "airflow"


def configuration(
    layout: Layout, port: int, login: str, database: str, keys: Mapping[str, str]
) -> dict[str, dict[str, str]]:
    """``airflow.cfg`` by section. ``keys`` has ``fernet``, ``jwt`` and ``api``; ``database`` is a SQLAlchemy URL."""
    url = f"http://127.0.0.1:{port}"
    home = layout.airflow_home
    return {
        "core": {
            "dags_folder": str(layout.root / "dags"),
            "plugins_folder": str(layout.root / "plugins"),
            "executor": "LocalExecutor",
            # Two cores: more tasks at once only wait for each other.
            "parallelism": "6",
            "load_examples": "False",
            "fernet_key": keys["fernet"],
            "simple_auth_manager_users": f"{login}:admin",
            "simple_auth_manager_passwords_file": str(home / "passwords.json"),
            "execution_api_server_url": f"{url}/execution/",
            "hostname_callable": "socket.gethostname",
            "min_serialized_dag_update_interval": "5",
            # A busy laptop reads late, too; the default of 30 s took away DAGs that nothing is wrong with.
            "dagbag_import_timeout": "90.0",
        },
        "database": {"sql_alchemy_conn": database, "sql_alchemy_pool_size": "5", "sql_alchemy_max_overflow": "15"},
        "api": {"host": "127.0.0.1", "port": str(port), "base_url": url, "workers": "1", "secret_key": keys["api"]},
        "api_auth": {"jwt_secret": keys["jwt"]},
        # A busy laptop answers late; the default of 5 s would fail tasks that only had to wait.
        "workers": {"execution_api_timeout": "30.0"},
        "dag_processor": {
            # A new file shows within seconds (a listing costs nothing); an unchanged one is parsed every minute.
            "refresh_interval": "5",
            "min_file_process_interval": "60",
            "parsing_processes": "1",
            "print_stats_interval": "0",
            # In this order: a file's import, its whole process, and when a DAG that was not seen again is gone.
            "dag_file_processor_timeout": "110",
            "stale_dag_threshold": "120",
        },
        "scheduler": {
            "scheduler_idle_sleep_time": "0.25",
            # Of a backfill's runs, no more than these are ever under way: the scheduler looks at them in their order.
            "max_dagruns_per_loop_to_schedule": "100",
            "catchup_by_default": "False",
            "scheduler_health_check_threshold": "60",
        },
        "triggerer": {"capacity": "100", "triggerer_health_check_threshold": "60"},
        "logging": {"base_log_folder": str(home / "logs"), "logging_level": "INFO"},
    }


def render(sections: Mapping[str, Mapping[str, str]]) -> str:
    """The configuration as Airflow reads it: an INI file in which ``%`` is doubled."""
    lines = []
    for section, options in sections.items():
        lines.append(f"[{section}]")
        lines += [f"{name} = {value.replace('%', '%%')}" for name, value in options.items()]
        lines.append("")
    return "\n".join(lines)


def write(layout: Layout, sections: Mapping[str, Mapping[str, str]], login: str, password: str) -> None:
    """Write configuration, login and a script that runs Airflow's command line against this stack."""
    home = layout.airflow_home
    home.mkdir(parents=True, exist_ok=True)
    write_private(home / "airflow.cfg", render(sections))
    # Written beforehand: Airflow prints a password that it has to make up itself.
    write_private(home / "passwords.json", json.dumps({login: password}) + "\n")
    settings = "".join(f"export {name}='{value}'\n" for name, value in environment(layout).items())
    script = f'#!/bin/sh\n# Airflow\'s own command line against this stack.\n{settings}exec "{executable()}" "$@"\n'
    write_private(layout.airflow_command, script, mode=0o700)


def environment(layout: Layout) -> dict[str, str]:
    """What Airflow's processes need beside what every service has."""
    return {
        "AIRFLOW_HOME": str(layout.airflow_home),
        # The task libraries may start no threads: a fork has only the one that forked.
        "JE_ARROW_MALLOC_CONF": "background_thread:false",
        "OPENBLAS_NUM_THREADS": "1",
        # MLflow prints links to its runs; with a login in its URL they would be passwords in task logs.
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "PYTHONPATH": f"{layout.root / 'include'}:{layout.root / 'plugins'}",
        "SLIPWAY_ROOT": str(layout.root),
        "SLIPWAY_VAR": str(layout.var),
        "SLIPWAY_AIRFLOW_SETTINGS": str(layout.settings_file),
    }


def migrate(layout: Layout, variables: Mapping[str, str], database_is_new: bool) -> bool:
    """Bring Airflow's database to the installed version; returns whether anything was done.

    Once per version: the version is noted beside the configuration. Raises UnavailableError with the end of the
    log when it fails.
    """
    note = layout.airflow_home / "database-version"
    wanted = version("apache-airflow-core")
    if not database_is_new and note.exists() and note.read_text(encoding="utf-8").strip() == wanted:
        return False
    log = layout.logs / "airflow-migrate.log"
    with log.open("w", encoding="utf-8") as output:
        done = subprocess.run(
            [str(executable()), "db", "migrate"],
            check=False, env=dict(variables), cwd=layout.work, stdout=output, stderr=subprocess.STDOUT, timeout=600,
        )  # fmt: skip
    if done.returncode != 0:
        raise UnavailableError(f"expected `airflow db migrate` to succeed, it ended with {done.returncode}; see {log}")
    note.write_text(wanted + "\n", encoding="utf-8")
    return True
