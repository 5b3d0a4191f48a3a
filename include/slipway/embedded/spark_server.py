"""The Spark Connect server: pyspark's own jars, one long-lived process, small enough for a laptop."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from slipway.errors import ConfigurationError

OLDEST_JAVA = 17
_SERVER = "org.apache.spark.sql.connect.service.SparkConnectServer"

_CONFIGURATION: Mapping[str, str] = {
    "spark.master": "local[2]",
    "spark.driver.memory": "1g",
    "spark.ui.enabled": "false",
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.catalogImplementation": "in-memory",
    "spark.sql.session.timeZone": "UTC",
    # The lakefs data source then leaves out the partitions that a query's filters rule out.
    "spark.sql.python.filterPushdown.enabled": "true",
    "spark.connect.grpc.binding.address": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    # One session serves all of a day's tasks (slipway.stages.spark); a name is not taken up again once it has ended.
    "spark.connect.session.manager.defaultSessionTimeout": "26h",
}


LAUNCHER = Path(__file__).resolve().parents[1] / "lake" / "spark-python"
"""Starts Python for Spark's workers, with the data source loaded."""


def check_java() -> None:
    """Raise ConfigurationError, in one line, unless Java 17 or later is on the path."""
    found = shutil.which("java")
    remedy = f"install Java {OLDEST_JAVA} or later, for example: apt-get install openjdk-17-jre-headless"
    if found is None:
        raise ConfigurationError(f"Spark expected Java {OLDEST_JAVA} or later on the path, found none; {remedy}")
    answer = subprocess.run([found, "-version"], check=False, capture_output=True, text=True, timeout=30)
    version = java_version(answer.stderr + answer.stdout)
    if version is None or version < OLDEST_JAVA:
        came = f"Java {version}" if version else "one that does not tell its version"
        raise ConfigurationError(f"Spark expected Java {OLDEST_JAVA} or later, {found} is {came}; {remedy}")


def java_version(text: str) -> int | None:
    """The major version in ``java -version``'s answer: 17 of ``17.0.15``, 8 of ``1.8.0_402``; None if there is none."""
    match = re.search(r'version "(?:1\.)?(\d+)', text)
    return int(match.group(1)) if match else None


def spark_home() -> Path:
    """The folder of the installed ``pyspark``. Raises ConfigurationError when there is none."""
    found = find_spec("pyspark")
    if found is None or found.origin is None:
        raise ConfigurationError("expected the package pyspark, found none; install requirements.txt")
    return Path(found.origin).parent


def command(folder: Path, port: int) -> tuple[str, ...]:
    """The server's command line; the token is in its environment."""
    configuration = {
        **_CONFIGURATION,
        "spark.connect.grpc.binding.port": str(port),
        "spark.local.dir": str(folder / "tmp"),
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
    }
    options = [part for name, value in configuration.items() for part in ("--conf", f"{name}={value}")]
    submit = str(spark_home() / "bin" / "spark-submit")
    return (submit, "--class", _SERVER, "--name", "slipway", *options, "spark-internal")


def environment(token: str) -> dict[str, str]:
    """What the server's JVM and its Python workers need besides the stack's own environment."""
    found = shutil.which("java")
    return {
        "SPARK_HOME": str(spark_home()),
        "SPARK_CONNECT_AUTHENTICATE_TOKEN": token,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": str(LAUNCHER),
        "SLIPWAY_PYTHON": sys.executable,
        # The worker daemon forks with its libraries loaded (slipway.lake.spark_daemon), so none may start a thread.
        "OPENBLAS_NUM_THREADS": "1",
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        # Short jobs on few cores: the optimising compiler costs more than it gives. With the first tier alone a start
        # takes 8 s of a core instead of 14, and the first jobs (joins, windows over 20,000 rows) 15 s instead of 23.
        "SPARK_SUBMIT_OPTS": "-XX:+UseSerialGC -XX:TieredStopAtLevel=1",
        **({"JAVA_HOME": str(Path(found).resolve().parents[1])} if found else {}),
    }
