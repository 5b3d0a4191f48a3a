"""Reading a DAG file as Airflow does, and the error for one that reaches outside while it is read."""

import importlib.util
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class ParseTimeError(AssertionError):
    """A DAG file reached for something outside while it was being read."""


def read_dag_file(path: Path):
    """The DAGs of a file, by id, read as a fresh module."""
    from airflow.sdk import DAG

    spec = importlib.util.spec_from_file_location(f"dag_file_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    made = {}
    original = DAG.__exit__

    def remember(dag, *args):
        made[dag.dag_id] = dag
        return original(dag, *args)

    DAG.__exit__ = remember
    try:
        spec.loader.exec_module(module)
    finally:
        DAG.__exit__ = original
        del sys.modules[spec.name]
    return made


def copy_what_pipelines_name(root: Path) -> None:
    """Make ``root`` a project whose pipelines can be changed: their files and those they name."""
    for part in ("spark_jobs", "include/models", "include/pods", "include/pipelines"):
        shutil.copytree(ROOT / part, root / part)
