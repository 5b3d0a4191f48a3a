from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from onnx import TensorProto, helper

from slipway.compile.onnx_model import Tensor, canonical_bytes
from slipway.compile.targets.interface import Skipped, Source
from slipway.compile.targets.jetson_orin import TIMING_CACHE, Toolchain, build, build_with
from slipway.compile.tensorrt_engine import EngineSession, Profile, build_engine
from slipway.errors import CompileError
from slipway.identity.digest import sha256_bytes
from tests.simulators.tensorrt import ORIN, GpuSimulator, SimulatedTensorRT

H100 = dataclasses.replace(ORIN, name="NVIDIA H100", compute_capability="9.0")


def toolchain(gpu=None, version="10.3.0", machine="aarch64", **options):
    gpu = gpu or GpuSimulator()
    return Toolchain(SimulatedTensorRT(gpu, version, **options), gpu, machine, "Linux-5.15-tegra-aarch64")


def source(model, calibration=None):
    return Source(onnx=model, calibration=calibration)


@pytest.mark.parametrize("version", ["10.3.0", "10.16.1.11", "11.4.1.3"])
def test_an_engine_built_on_an_orin_answers_like_the_model(model, make_samples, version):
    tools = toolchain(version=version)
    built = build_with(tools, source(model))
    samples = make_samples(150, 4)
    np.testing.assert_allclose(built.load().run(samples.inputs), samples.logits, rtol=1e-5, atol=1e-5)
    assert (built.artifact, built.runtime, built.runtime_version) == ("model.plan", "tensorrt", f"=={version}")
    assert tools.gpu.memory == {}, "every buffer on the GPU is freed"


def test_the_engine_facts_tie_the_plan_to_the_machine_that_built_it(model):
    built = build_with(toolchain(), source(model))
    assert built.engine == {
        "gpu": "Orin",
        "compute_capability": "8.7",
        "multiprocessors": 16,
        "system": "Linux-5.15-tegra-aarch64",
        "rows": {"least": 1, "tuned": 1, "most": 64},
        "workspace_bytes": 1 << 30,
        "timing_cache_sha256": sha256_bytes(built.extras[TIMING_CACHE]),
    }
    assert built.hardware == "aarch64-Orin"


def test_a_machine_without_tensorrt_skips_with_the_reason(model):
    skipped = build(source(model))
    assert isinstance(skipped, Skipped)
    assert "tensorrt is not installed on this machine" in skipped.reason
    assert "build on a Jetson Orin with NVIDIA TensorRT 10.x/11.x" in skipped.reason


def test_another_gpu_skips_because_its_engine_would_run_on_no_orin(model):
    skipped = build_with(toolchain(GpuSimulator(H100), machine="x86_64"), source(model))
    assert isinstance(skipped, Skipped)
    assert "NVIDIA H100 (compute capability 9.0)" in skipped.reason


def test_another_major_version_of_tensorrt_skips(model):
    skipped = build_with(toolchain(version="8.6.1"), source(model))
    assert isinstance(skipped, Skipped)
    assert "TensorRT 8.6.1 is installed, expected 10.x or 11.x" in skipped.reason


def test_a_failed_build_is_an_error_and_not_a_skip(model):
    with pytest.raises(CompileError, match=r"TensorRT 10\.3\.0 built no engine"):
        build_with(toolchain(fails_to_build=True), source(model))


def test_an_operator_tensorrt_does_not_know_is_named():
    graph = helper.make_graph(
        [helper.make_node("StringNormalizer", ["text"], ["logits"])],
        "strings",
        [helper.make_tensor_value_info("text", TensorProto.STRING, [1])],
        [helper.make_tensor_value_info("logits", TensorProto.STRING, [1])],
    )
    model = canonical_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10))
    with pytest.raises(CompileError, match="cannot parse the model: StringNormalizer node_0"):
        build_with(toolchain(), source(model))


def test_a_plan_of_another_tensorrt_is_refused_when_loaded(model):
    plan = build_engine(SimulatedTensorRT(GpuSimulator(), "10.3.0"), model, Profile()).plan
    gpu = GpuSimulator()
    with pytest.raises(CompileError, match="refuses the engine"):
        EngineSession(SimulatedTensorRT(gpu, "11.4.0"), gpu, plan, most_rows=64)


def test_the_last_builds_timing_cache_is_used(model):
    trt = SimulatedTensorRT(GpuSimulator())
    first = build_engine(trt, model, Profile())
    assert build_engine(trt, model, Profile(), first.timing_cache).timing_cache.startswith(first.timing_cache)


def test_only_the_rows_may_be_free():
    with pytest.raises(CompileError, match=r"\['width'\] are free"):
        Profile().shapes(Tensor("float32", ("batch", "width")))
    assert Profile().shapes(Tensor("float32", ("batch", 3))) == ((1, 3), (1, 3), (64, 3))
