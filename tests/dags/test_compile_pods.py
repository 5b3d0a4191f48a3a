"""Which pod a target is compiled in."""

from slipway.pipeline.load import find_pipeline
from slipway.settings import settings
from tests.dags.reading import ROOT, copy_what_pipelines_name, read_dag_file


def compile_arguments(dag):
    return list(dag.get_task("compile").expand_input.value)


def test_every_target_is_compiled_in_the_pipelines_pod_unless_it_names_its_own(tmp_path, monkeypatch):
    copy_what_pipelines_name(tmp_path)
    text = (ROOT / "include/pipelines/flight_delay.yaml").read_text()
    assert text.count("- name: jetson-orin\n") == 1
    changed = text.replace("- name: jetson-orin\n", "- name: jetson-orin\n      pod: train\n")
    (tmp_path / "include/pipelines/flight_delay.yaml").write_text(changed)
    monkeypatch.setenv("SLIPWAY_ROOT", str(tmp_path))
    settings.cache_clear()
    try:
        dag = read_dag_file(ROOT / "dags/train.py")["flight_delay.train"]
        usual = find_pipeline(settings().pipelines, "flight_delay").compile.pod
    finally:
        monkeypatch.undo()
        settings.cache_clear()
    pods = {one["work"]: one["manifest"] for one in compile_arguments(dag)}
    assert pods == {"x86-cpu": usual, "x86-cpu-int8": usual, "jetson-orin": "train"}
