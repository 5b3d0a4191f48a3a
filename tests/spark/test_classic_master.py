"""Connection type ``spark``: a classic master, which learns of the lake from its connection alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from slipway.connections import LakeConnection
from slipway.settings import settings


@pytest.mark.timeout(420)  # a JVM of its own, started cold
def test_a_classic_master_makes_features_without_a_lake_in_its_environment_and_prints_no_key(
    lake_connection: LakeConnection, repository: str, tmp_path: Path
) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LAKECTL_")}
    environment |= {
        "PYTHONPATH": os.pathsep.join(str(path) for path in (settings().root / "include", settings().root)),
        "PYSPARK_PYTHON": sys.executable,
        "HOME": str(tmp_path),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "JAVA_TOOL_OPTIONS": "-XX:+UseSerialGC -XX:TieredStopAtLevel=1",
    }
    script = Path(__file__).with_name("classic_features.py")
    server = [lake_connection.endpoint, lake_connection.access_key, lake_connection.secret_key]
    done = subprocess.run(
        [sys.executable, str(script), *server, repository, str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert "made features/date=2013-01-01/part-00000.parquet" in done.stdout, done.stderr[-4000:]
    assert lake_connection.secret_key not in done.stdout + done.stderr
