"""The MLflow server: tracking, registry and artifacts in one process, with MLflow's own basic authentication.

``mlflow server`` would start this same application under a parent that imports all of MLflow once more (250 MB and
four seconds of a core) only to wait. The names of the variables are those of ``mlflow.server.constants``.
"""

from __future__ import annotations

import sys
from pathlib import Path

from slipway.embedded import start_python
from slipway.embedded.local_settings import Login


def command(port: int) -> tuple[str, ...]:
    """One worker on 127.0.0.1; the app refuses requests without a login, except ``/health``."""
    return (
        sys.executable, start_python.__file__, "uvicorn", "--factory", "mlflow.server.auth:create_app",
        "--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--no-access-log",
    )  # fmt: skip


def environment(database: str, artifacts: Path, configuration_file: Path, login: Login, secret: str) -> dict[str, str]:
    """What the application reads; ``secret`` signs its forms."""
    return {
        "_MLFLOW_SERVER_FILE_STORE": database,
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(artifacts),
        "_MLFLOW_SGI_NAME": "uvicorn",
        "MLFLOW_AUTH_CONFIG_PATH": str(configuration_file),
        "MLFLOW_AUTH_ADMIN_USERNAME": login.name,
        "MLFLOW_AUTH_ADMIN_PASSWORD": login.password,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": secret,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        # Nobody has jobs for it, and its queue would be one more process.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }


def configuration(database: str) -> str:
    """The authentication's INI file. A checked password is remembered for a minute, as hashing it is slow."""
    return "\n".join(
        (
            "[mlflow]",
            f"database_uri = {database.replace('%', '%%')}",
            "default_permission = NO_PERMISSIONS",
            "authorization_function = mlflow.server.auth:authenticate_request_basic_auth",
            "auth_cache_ttl_seconds = 60",
            "",
        )
    )
