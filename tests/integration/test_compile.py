"""Real PyTorch models of both pipelines through the export pod and every target of the compile pod."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save
from sklearn.datasets import load_digits

from slipway.compile.__main__ import Work, compile_pod
from slipway.compile.export import OPSET, export_pod, to_onnx
from slipway.compile.onnx_model import parse, signature
from slipway.compile.onnx_session import OnnxSession
from slipway.errors import CompileError, ModelError, ParityError
from slipway.lake.uri import LakeUri
from slipway.pipeline.load import load_pipeline
from slipway.pods.result import PodResult, read_result, upload, write_result
from slipway.training.arrays import calibration_rows, golden_rows, pack, take
from slipway.training.model_module import load_model_module
from tests.simulators.lake import LakeSimulator

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "include" / "models"
F = "a" * 64

# The machine is shared; threads of PyTorch that wait for each other would be most of the time.
torch.set_num_threads(1)


def digits():
    data = load_digits()
    frame = pd.DataFrame(data.data / 16.0, columns=[f"p{index:02d}" for index in range(64)])
    return frame.assign(digit=data.target)


def flights(rows=3000):
    """Rows shaped like the features, a third late because of their departure delay, some numbers missing."""
    module = load_model_module(MODELS / "flight_delay.py")
    random = np.random.default_rng(7)
    frame = pd.DataFrame({column: random.normal(50, 20, rows) for column in module.COLUMNS})
    frame["carrier"], frame["origin"] = random.choice(["UA", "AA", "ZZ"], rows), random.choice(["EWR", "JFK"], rows)
    frame["dep_delay"] = random.exponential(15, rows) - 5
    frame["late"] = frame["dep_delay"] + random.normal(0, 8, rows) > 15
    for column in ("temp", "pressure", "origin_delay_2h"):
        frame.loc[random.random(rows) < 0.15, column] = np.nan
    return frame


def trained(name, frame, steps):
    """A trained network and what the training pod writes of it."""
    pipeline = load_pipeline(ROOT / "include" / "pipelines" / f"{name}.yaml")
    source = load_model_module(MODELS / f"{name}.py")
    inputs, labels = source.encode(frame), source.labels(frame)
    torch.manual_seed(3)
    network = source.build(pipeline.training.parameters)
    if hasattr(source, "fit_statistics"):
        source.fit_statistics(network, inputs)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    cut = len(frame) * 3 // 4
    tensors = {key: torch.from_numpy(value) for key, value in inputs.items()}
    network.train()
    for step in range(steps):
        rows = torch.randperm(cut, generator=torch.Generator().manual_seed(step))[:256]
        loss = torch.nn.functional.cross_entropy(
            network(**{key: value[rows] for key, value in tensors.items()}), torch.from_numpy(labels)[rows]
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    network.eval()
    held = take(inputs, np.arange(cut, len(frame)))
    with torch.no_grad():
        logits = network(**{key: torch.from_numpy(value) for key, value in held.items()}).numpy()
    golden = golden_rows(logits)
    return pipeline, {
        "model.safetensors": save(network.state_dict()),
        "holdout.npz": pack(held, labels=labels[cut:], logits=logits),
        "golden.npz": pack(take(held, golden), logits=logits[golden]),
        "calibration.npz": pack(take(inputs, calibration_rows(cut, 1))),
    }


@pytest.fixture(scope="module", params=["digit_reader", "flight_delay"])
def training(request):
    frame, steps = {"digit_reader": (digits, 60), "flight_delay": (flights, 60)}[request.param]
    return trained(request.param, frame(), steps)


def place(pipeline, stage):
    return LakeUri.parse(f"lakefs://{pipeline.repository}/train/models/{stage}/{F}")


def lake_with(pipeline, files):
    lake = LakeSimulator()
    lake.ensure_repository(pipeline.repository)
    lake.create_branch(pipeline.repository, "train", "main")
    outputs = upload(lake, place(pipeline, "train"), files)
    result = PodResult(stage="train", fingerprint=F, status="built", outputs=outputs, hardware="x86_64-cpu")
    write_result(lake, place(pipeline, "train"), result)
    return lake


def export(lake, pipeline, stage="export"):
    return export_pod(
        lake, pipeline, MODELS, fingerprint=F, train=place(pipeline, "train"), output=place(pipeline, stage)
    )


def test_a_trained_model_is_exported_and_built_for_every_target_this_machine_can_build(training):
    pipeline, files = training
    lake = lake_with(pipeline, files)
    result = export(lake, pipeline)
    assert result.report["opset"] == OPSET
    assert result.report["agreement"] >= 0.999
    assert json.loads(lake.get(place(pipeline, "export") / "classes.json")) == list(
        load_model_module(MODELS / f"{pipeline.name}.py").CLASSES
    )
    statuses = {}
    for target in pipeline.compile.targets:
        output = place(pipeline, f"compile-{target.name}")
        compile_pod(lake, Work(pipeline, target.name, F, place(pipeline, "train"), place(pipeline, "export"), output))
        built = read_result(lake, output, F)
        statuses[target.name] = built.status
        if built.status == "built":
            assert built.report["agreement"] >= target.bounds.min_agreement
            assert built.report["p50_ms"] <= target.bounds.max_p50_ms
    assert statuses == {"x86-cpu": "built", "x86-cpu-int8": "built", "jetson-orin": "skipped"}


def test_exporting_twice_gives_the_same_bytes_with_no_path_of_this_machine_in_them(training):
    pipeline, files = training
    lake = lake_with(pipeline, files)
    first, second = export(lake, pipeline), export(lake, pipeline, "export-again")
    assert first.report["sha256"] == second.report["sha256"]
    model = lake.get(place(pipeline, "export") / "model.onnx")
    assert str(ROOT).encode() not in model
    assert all(tensor.shape[0] == "batch" for tensor in signature(parse(model)).inputs.values())


def test_weights_of_another_network_are_refused(training):
    pipeline, files = training
    other = save({"layers.0.weight": torch.zeros(3, 3)})
    with pytest.raises(CompileError, match=r"model\.safetensors does not fit"):
        export(lake_with(pipeline, {**files, "model.safetensors": other}), pipeline)
    with pytest.raises(CompileError, match=r"model\.safetensors does not fit"):
        export(lake_with(pipeline, {**files, "model.safetensors": b"\x80\x04pickle"}), pipeline)


def test_an_export_that_answers_otherwise_than_pytorch_is_refused(training):
    pipeline, files = training
    lake = lake_with(pipeline, files)
    with np.load(io.BytesIO(files["holdout.npz"])) as archive:
        arrays = {key: archive[key] for key in archive.files}
    arrays["logits"] = arrays["logits"] + 0.5
    inputs = {key.removeprefix("input:"): value for key, value in arrays.items() if key.startswith("input:")}
    lake = lake_with(pipeline, {**files, "holdout.npz": pack(inputs, labels=arrays["labels"], logits=arrays["logits"])})
    with pytest.raises(ParityError, match=r"largest difference of a logit 0\.5"):
        export(lake, pipeline)


def test_a_missing_model_module_is_refused(training):
    pipeline, files = training
    with pytest.raises(ModelError, match="no model module"):
        export_pod(
            lake_with(pipeline, files),
            pipeline,
            ROOT / "docs",
            fingerprint=F,
            train=place(pipeline, "train"),
            output=place(pipeline, "export"),
        )


def test_a_module_torch_cannot_trace_is_refused():
    class DependsOnData(torch.nn.Module):
        def forward(self, image):
            return image * 2 if image.sum() > 0 else image

    with pytest.raises(CompileError, match="cannot export the model to ONNX"):
        to_onnx(DependsOnData(), {"image": np.ones((2, 3), np.float32)})


def test_an_exported_model_takes_one_row_and_many():
    model = to_onnx(torch.nn.Linear(3, 2), {"input": np.ones((2, 3), np.float32)})
    for rows in (1, 5, 300):
        assert OnnxSession(model).run({"input": np.ones((rows, 3), np.float32)}).shape == (rows, 2)


def test_the_compile_pod_imports_no_torch():
    code = (
        "import sys, slipway.compile.__main__;"
        "from slipway.compile.targets import TARGETS, load_target;"
        "[load_target(name) for name in TARGETS];"
        "print(sorted({'torch', 'mlflow', 'tensorrt', 'pyspark', 'airflow'} & set(sys.modules)))"
    )
    environment = {"PYTHONPATH": str(ROOT / "include")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "[]"
