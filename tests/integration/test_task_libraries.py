"""What the scheduler and the DAG processor load once for the processes they fork."""

import json
import subprocess
import sys
from pathlib import Path

from slipway.embedded import airflow_home, start_python
from slipway.embedded.layout import Layout
from slipway.settings import settings

ROOT = settings().root
A_RUN = """
import json, os, sys
from airflow import plugins_manager

plugins_manager.ensure_plugins_loaded()
threads = len(os.listdir("/proc/self/task"))
before = set(sys.modules)

sys.path[:0] = ["plugins", "spark_jobs", "dags"]
import ingest, slipway.stages.spark, flight_features
import pyarrow as pa
from slipway.pipeline.load import find_pipeline
from slipway.quality.check import check
from slipway.settings import settings

contract = find_pipeline(settings().pipelines, "flight_delay").raw["weather"]
check("weather", pa.table({"origin": ["JFK"]}), contract, "2013-01-01")
own = ("slipway", "slipway_airflow", "job", "flight_features", "ingest", *sys.stdlib_module_names)
late = [name for name in set(sys.modules) - before if name.partition(".")[0] not in own]
early = [name for name in before if name.partition(".")[0] == "slipway"]
found = [plugin.name for plugin in plugins_manager._get_plugins()[0]]
print(json.dumps({"threads": threads, "arguments": sys.argv[1:], "late": late, "early": early, "plugins": found}))
"""
FEW = 15
"""Modules that may come late: lazily imported parts, a few milliseconds in all."""


def test_a_task_forked_from_the_scheduler_imports_slipways_own_modules_and_no_other_library(tmp_path: Path) -> None:
    (tmp_path / "a_run.py").write_text(A_RUN)
    environment = {
        "PATH": "/usr/bin:/bin",
        **airflow_home.environment(Layout(ROOT, tmp_path, tmp_path)),
        "PYTHONPATH": f"{ROOT / 'include'}:{tmp_path}",
    }
    (tmp_path / "airflow.cfg").write_text(f"[core]\nplugins_folder = {ROOT / 'plugins'}\n")
    environment["AIRFLOW_HOME"] = str(tmp_path)
    done = subprocess.run(
        [sys.executable, start_python.__file__, start_python.TASK_LIBRARIES, "a_run", "--an", "argument"],
        cwd=ROOT, env=environment, check=True, capture_output=True, text=True,
    )  # fmt: skip
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["threads"] == 1, "a fork would lose the others"
    assert "slipway" in found["plugins"]
    assert not found["early"], "a task would run these as they were when the scheduler was started"
    assert found["arguments"] == ["--an", "argument"]
    assert len(found["late"]) < FEW, found["late"]
