"""The libraries that Airflow's tasks and DAG files use, loaded once in the process they are forked from.

The scheduler forks a process for every task, the DAG processor one for every file, and each would import the same
libraries again: 1.4 of the 2 seconds of a core that a task of an ingest run took. Only what is installed stands here,
never a module of this checkout: a task must run the code that lies there when it starts, for that is the code its
fingerprint is made of. Nothing here may start a thread, which a fork would lose.
"""

from __future__ import annotations

import importlib
import sys

TASK_LIBRARIES = (
    "airflow.dag_processing.dagbag",
    "airflow.providers.standard.operators.python",
    "airflow.providers.standard.decorators.python",
    "airflow.sdk.bases.operatorlink",
    "airflow.sdk.definitions.decorators.task_group",
    "airflow.sdk.execution_time.task_runner",
    "airflow.triggers.base",
    "cryptography.hazmat.primitives.serialization",
    "grpc",
    "grpc._channel",
    "grpc_status",
    "lakefs",
    "pandera.accessors.pandas_accessor",
    "pandera.api.geopandas.container",
    "pandera.backends.pandas.builtin_checks",
    "pandera.backends.pandas.builtin_hypotheses",
    "pandera.backends.pandas.components",
    "pandera.backends.pandas.container",
    "pandera.backends.pandas.register",
    "pandera.backends.register_checks",
    "pandera.pandas",
    "psycopg2.extras",
    "pyarrow.csv",
    "pyarrow.dataset",
    "pyarrow.ipc",
    "pyarrow.pandas_compat",
    "pyarrow.parquet",
    "pyarrow.vendored.version",
    "pydantic_settings",
    "pyspark.sql.connect.client",
    "pyspark.sql.connect.datasource",
    "pyspark.sql.connect.session",
    "pyspark.sql.connect.window",
    "pyspark.sql.datasource",
    "rfc8785",
    "securesystemslib.dsse",
    "securesystemslib.signer",
)


def load() -> None:
    """Import them all, and forget every module of Slipway, this one included."""
    for name in TASK_LIBRARIES:
        importlib.import_module(name)
    for name in [name for name in sys.modules if name.partition(".")[0] == "slipway"]:
        del sys.modules[name]
