"""What every DAG file of the house obeys."""

import ast

import pytest
from airflow.sdk.bases.operator import BaseOperator

from slipway.pipeline.project import load_pipelines
from slipway.settings import settings
from tests.dags.reading import ROOT, ParseTimeError, copy_what_pipelines_name, read_dag_file

FILES = sorted((ROOT / "dags").glob("*.py"))
NO_DAG = "pipelines.py"
"""Reads the pipeline files so that Airflow shows what is wrong with one; every other file makes DAGs."""
LINES = ("ingest", "train", "release", "reproduce")


@pytest.fixture(params=FILES, ids=lambda path: path.name)
def dag_file(request):
    return request.param


def test_every_pipeline_has_every_line_and_nothing_else_exists(dags):
    expected = {f"{name}.{line}" for name in load_pipelines(settings().pipelines) for line in LINES}
    assert set(dags) == expected | {"slipway.housekeeping"}


def test_reading_a_dag_file_reaches_for_nothing_outside(dag_file, no_io):
    assert bool(read_dag_file(dag_file)) == (dag_file.name != NO_DAG)


def test_the_guard_against_parse_time_io_bites(tmp_path, no_io):
    path = tmp_path / "bad.py"
    path.write_text("from airflow.sdk import Variable\nVariable.get('x')\n")
    with pytest.raises(ParseTimeError):
        read_dag_file(path)


def test_a_dag_file_is_a_table_of_contents(dag_file):
    source = dag_file.read_text()
    tree = ast.parse(source)
    assert len(source.splitlines()) <= 150
    assert ast.get_docstring(tree) and ("doc_md=__doc__" in source or dag_file.name == NO_DAG)
    longest = max(
        (node.end_lineno - node.lineno for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)), default=0
    )
    assert longest <= 60


def test_no_dag_file_imports_what_is_heavy(dag_file):
    imported = set()
    for node in ast.walk(ast.parse(dag_file.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(str(node.module).split(".")[0])
    assert not imported & {"torch", "pyspark", "mlflow", "onnxruntime", "kubernetes", "tensorrt", "requests"}


def test_every_dag_is_documented_owned_tagged_and_bounded(dags):
    owners = {name: pipeline.owner for name, pipeline in load_pipelines(settings().pipelines).items()}
    for dag_id, dag in dags.items():
        pipeline, line = dag_id.split(".")
        assert dag.doc_md, dag_id
        assert {"slipway", pipeline, line} <= set(dag.tags), dag_id
        assert dag.catchup is False, dag_id
        assert dag.max_active_runs <= 4, dag_id
        owner = owners.get(pipeline, "slipway")
        assert {task.owner for task in dag.tasks if isinstance(task, BaseOperator)} == {owner}, dag_id


def test_every_task_of_the_lines_says_what_it_does(dags):
    for dag_id, dag in dags.items():
        for task in dag.tasks:
            callable_ = getattr(task, "python_callable", None)
            assert callable_ is None or callable_.__doc__, f"{dag_id}.{task.task_id}"


def test_every_form_can_be_sent_as_it_opens(dags):
    for dag_id, dag in dags.items():
        for name in dag.params:
            value = dag.params.get_param(name).value
            # Airflow's form takes an empty text for a missing one, unless null is allowed.
            assert value not in ("", None) or "null" in dag.params.get_param(name).schema["type"], f"{dag_id}: {name}"


def test_a_new_pipeline_needs_a_yaml_file_and_no_dag_code(tmp_path, monkeypatch, no_io):
    copy_what_pipelines_name(tmp_path)
    text = (ROOT / "include/pipelines/flight_delay.yaml").read_text()
    (tmp_path / "include/pipelines/third.yaml").write_text(text.replace("name: flight_delay", "name: third", 1))
    monkeypatch.setenv("SLIPWAY_ROOT", str(tmp_path))
    settings.cache_clear()
    try:
        found = [dag for path in FILES for dag in read_dag_file(path)]
    finally:
        monkeypatch.undo()
        settings.cache_clear()
    assert {f"third.{line}" for line in LINES} <= set(found)
