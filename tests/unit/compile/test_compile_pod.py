from __future__ import annotations

import json
from pathlib import Path

import pytest

from slipway.compile.__main__ import Work, compile_pod
from slipway.errors import CompileError, ConfigurationError, ParityError, PodResultError
from slipway.identity.digest import sha256_bytes
from slipway.lake.uri import LakeUri
from slipway.pipeline.load import load_pipeline
from slipway.pods.result import PodResult, read_result, upload, write_result
from slipway.training.arrays import pack
from tests.simulators.lake import LakeSimulator

ROOT = Path(__file__).resolve().parents[3]
F = "f" * 64


@pytest.fixture
def pipeline():
    return load_pipeline(ROOT / "include" / "pipelines" / "flight_delay.yaml")


@pytest.fixture
def lake(model, make_samples):
    """A lake as the training and export pods leave it."""
    lake = LakeSimulator()
    lake.ensure_repository("flight-delay")
    lake.create_branch("flight-delay", "train", "main")
    packed = {
        name: pack(samples.inputs, labels=samples.labels, logits=samples.logits)
        for name, samples in {
            "holdout.npz": make_samples(600, 1),
            "golden.npz": make_samples(64, 2),
            "calibration.npz": make_samples(300, 3),
        }.items()
    }
    put(lake, "train", packed, {})
    put(lake, "export", {"model.onnx": model, "classes.json": b'["on_time","late"]'}, {})
    return lake


def place(stage):
    return LakeUri.parse(f"lakefs://flight-delay/train/models/{stage}/{F}")


def put(lake, stage, files, report):
    outputs = upload(lake, place(stage), files)
    result = PodResult(
        stage=stage, fingerprint=F, status="built", outputs=outputs, report=report, hardware="x86_64-cpu"
    )
    write_result(lake, place(stage), result)


def work(pipeline, target):
    return Work(pipeline, target, F, place("train"), place("export"), place(f"compile-{target}"))


def with_bounds(pipeline, target, **bounds):
    raw = pipeline.model_dump(mode="json")
    for entry in raw["compile"]["targets"]:
        if entry["name"] == target:
            entry["bounds"].update(bounds)
    return type(pipeline).model_validate(raw, strict=False)


@pytest.mark.parametrize(("target", "precision"), [("x86-cpu", "fp32"), ("x86-cpu-int8", "int8")])
def test_a_built_target_has_a_manifest_that_describes_its_bytes(lake, pipeline, model, target, precision):
    compile_pod(lake, work(pipeline, target))
    result = read_result(lake, place(f"compile-{target}"), F)
    manifest = json.loads(lake.get(place(f"compile-{target}") / "manifest.json"))
    data = lake.get(place(f"compile-{target}") / "model.onnx")
    assert result.status == "built"
    assert set(result.inputs) >= {place("export").path + "/model.onnx", place("export").path + "/classes.json"}
    assert manifest == {
        "pipeline": "flight_delay",
        "target": target,
        "runtime": "onnxruntime",
        "runtime_version": ">=1.22",
        "architecture": "x86_64",
        "precision": precision,
        "artifact": "model.onnx",
        "sha256": sha256_bytes(data),
        "size": len(data),
        "source_onnx_sha256": sha256_bytes(model),
        "inputs": {
            "numeric": {"dtype": "float32", "shape": ["batch", 3]},
            "categorical": {"dtype": "int64", "shape": ["batch", 2]},
        },
        "outputs": {"logits": {"dtype": "float32", "shape": ["batch", 2]}},
        "classes": ["on_time", "late"],
        "golden": {"rows": 64, "min_agreement": 0.97},
        "compiler": manifest["compiler"],
        "fingerprint": F,
    }
    report = json.loads(lake.get(place(f"compile-{target}") / "report.json"))
    assert report == result.report
    assert {"agreement", "metric_loss", "p50_ms", "bytes", "metric", "golden_agreement"} <= set(report)


def test_a_target_this_machine_cannot_build_is_reported_as_skipped_and_leaves_no_artifact(lake, pipeline):
    compile_pod(lake, work(pipeline, "jetson-orin"))
    result = read_result(lake, place("compile-jetson-orin"), F)
    assert (result.status, dict(result.outputs)) == ("skipped", {})
    assert "tensorrt is not installed" in result.reason
    assert [entry.path.rsplit("/", 1)[-1] for entry in lake.list(place("compile-jetson-orin"))] == ["result.json"]


def test_an_artifact_outside_the_bounds_is_refused_and_keeps_its_report(lake, pipeline):
    strict = with_bounds(pipeline, "x86-cpu", max_bytes=10, max_p50_ms=1e-9)
    with pytest.raises(ParityError, match="2 bound"):
        compile_pod(lake, work(strict, "x86-cpu"))
    assert lake.exists(place("compile-x86-cpu") / "report.json")
    assert not lake.exists(place("compile-x86-cpu") / "model.onnx")
    with pytest.raises(PodResultError, match="there is none"):
        read_result(lake, place("compile-x86-cpu"), F)


def test_a_target_the_pipeline_does_not_name_is_refused(lake, pipeline):
    raw = pipeline.model_dump(mode="json")
    raw["compile"]["targets"] = raw["compile"]["targets"][:1]
    smaller = type(pipeline).model_validate(raw, strict=False)
    with pytest.raises(ConfigurationError, match="no target 'jetson-orin'"):
        compile_pod(lake, work(smaller, "jetson-orin"))


def test_a_tampered_model_is_refused_before_it_is_loaded(lake, pipeline):
    lake.put(place("export") / "model.onnx", b"evil")
    with pytest.raises(PodResultError, match="it was changed"):
        compile_pod(lake, work(pipeline, "x86-cpu"))


def test_the_work_of_another_fingerprint_is_refused(lake, pipeline):
    foreign = LakeUri.parse(f"lakefs://flight-delay/train/models/export/{'e' * 64}")
    for item in lake.list(place("export")):
        lake.copy(LakeUri("flight-delay", "train", item.path), foreign / item.path.rsplit("/", 1)[1])
    other = Work(pipeline, "x86-cpu", F, place("train"), foreign, place("compile-x86-cpu"))
    with pytest.raises(PodResultError, match="it is the report of other work"):
        compile_pod(lake, other)


def test_a_training_without_golden_logits_is_refused(lake, pipeline, make_samples):
    packed = {"golden.npz": pack(make_samples(8, 2).inputs), "holdout.npz": lake.get(place("train") / "holdout.npz")}
    put(lake, "train", packed, {})
    with pytest.raises(CompileError, match=r"holdout|golden\.npz: expected 'logits'"):
        compile_pod(lake, work(pipeline, "x86-cpu"))
