"""Spark's Python workers are started through ``slipway/lake/spark-python``."""

import os
import subprocess
import sys
from pathlib import Path

from slipway.embedded.spark_server import LAUNCHER, environment
from slipway.settings import settings


def launched(*arguments: str) -> str:
    given = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(settings().root / "include"),
        "SLIPWAY_PYTHON": sys.executable,
    }
    return subprocess.run([str(LAUNCHER), *arguments], env=given, capture_output=True, text=True, check=True).stdout


def test_the_local_server_uses_the_launcher_and_it_can_be_run():
    assert environment("token")["PYSPARK_PYTHON"] == str(LAUNCHER)
    assert os.access(LAUNCHER, os.X_OK)


def test_it_is_python_for_everything_else():
    assert launched("-c", "import sys; print(sys.executable)").strip() == sys.executable


def test_the_daemon_it_starts_has_the_data_source_loaded_and_speaks_sparks_protocol():
    given = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(settings().root / "include"),
        "SLIPWAY_PYTHON": sys.executable,
    }
    command = [str(LAUNCHER), "-m", "pyspark.daemon", "pyspark.worker"]
    daemon = subprocess.Popen(command, env=given, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        port = int.from_bytes(daemon.stdout.read(4), "big")
        cmdline = Path(f"/proc/{daemon.pid}/cmdline").read_text()
        assert 0 < port < 65536
        assert "slipway.lake.spark_daemon" in cmdline
        mapped = Path(f"/proc/{daemon.pid}/maps").read_text()
        assert "pyarrow" in mapped and "pandas" in mapped
    finally:
        daemon.stdin.close()
        daemon.kill()
        daemon.wait()


def test_what_is_loaded_is_frozen_before_workers_fork():
    script = (
        "import gc, runpy\n"
        "run = runpy.run_module\n"
        "runpy.run_module = lambda name, **_: print(name, gc.get_freeze_count())\n"
        "run('slipway.lake.spark_daemon', run_name='__main__')\n"
    )
    name, frozen = launched("-c", script).split()
    assert name == "pyspark.daemon"
    assert int(frozen) > 100_000
