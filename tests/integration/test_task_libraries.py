"""What the scheduler and the DAG processor load once for the processes they fork."""

import json
import subprocess
import sys
from pathlib import Path

from slipway.embedded import airflow_home
from slipway.embedded.layout import Layout
from slipway.embedded.task_libraries import TASK_LIBRARIES
from slipway.settings import settings

ROOT = settings().root
A_RUN = """
import json, os, sys
from slipway.embedded import task_libraries
task_libraries.load()
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
own = ("slipway", "slipway_airflow", "job", "flight_features", "ingest")
late = sorted(name for name in set(sys.modules) - before if name.partition(".")[0] not in own)
standard = [name for name in late if name.partition(".")[0] in sys.stdlib_module_names]
print(json.dumps({"threads": threads, "late": [name for name in late if name not in standard]}))
"""
FEW = 15
"""Modules that may come late: lazily imported parts, a few milliseconds in all."""


def test_they_are_of_installed_packages_so_that_a_task_runs_the_code_its_fingerprint_names() -> None:
    own = [name for name in TASK_LIBRARIES if name.partition(".")[0] in {"slipway", "slipway_airflow", "models"}]
    assert not own


def test_an_ingest_run_then_imports_no_other_library_and_the_forking_process_has_one_thread(tmp_path: Path) -> None:
    layout = Layout(ROOT, tmp_path, tmp_path)
    environment = {"PYTHONPATH": "include", "PATH": "/usr/bin:/bin", **airflow_home.environment(layout)}
    done = subprocess.run(
        [sys.executable, "-c", A_RUN],
        cwd=ROOT, env=environment, check=True, capture_output=True, text=True,
    )  # fmt: skip
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["threads"] == 1
    assert len(found["late"]) < FEW, found["late"]
