from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from slipway.compile.onnx_model import canonical_bytes
from slipway.compile.onnx_session import OnnxSession
from slipway.compile.parity import agreement
from slipway.compile.samples import Samples
from slipway.compile.targets import TARGETS, load_target
from slipway.compile.targets.interface import Source
from slipway.compile.targets.x86_cpu_int8 import nodes_to_quantise, quantise
from slipway.errors import CompileError, ConfigurationError
from slipway.pipeline.spec import Target


def test_every_target_of_the_pipeline_schema_has_a_compiler():
    assert set(TARGETS) == set(Target.model_fields["name"].annotation.__args__)
    for name in TARGETS:
        assert callable(load_target(name).build)


def test_an_unknown_target_is_refused_with_those_there_are():
    with pytest.raises(ConfigurationError, match="there are: x86-cpu, x86-cpu-int8, jetson-orin"):
        load_target("toaster")


def test_x86_cpu_is_the_exported_model_unchanged_and_needs_no_calibration(model):
    def no_calibration() -> Samples:
        raise AssertionError("x86-cpu read the calibration rows")

    built = load_target("x86-cpu").build(Source(onnx=model, calibration=no_calibration))
    assert (built.data, built.precision, built.artifact) == (model, "fp32", "model.onnx")
    assert built.compiler["onnxruntime"]


def test_int8_weights_answer_like_the_model_even_where_numbers_are_missing(model, make_samples):
    built = load_target("x86-cpu-int8").build(Source(onnx=model, calibration=lambda: make_samples(400, 2)))
    samples = make_samples(1000, 3)
    assert np.isnan(samples.inputs["numeric"]).any()
    assert built.precision == "int8"
    assert agreement(built.load().run(samples.inputs), samples.logits) > 0.97
    kinds = {weight.data_type for weight in onnx.load_model_from_string(built.data).graph.initializer}
    assert TensorProto.INT8 in kinds


def test_int8_bytes_depend_on_model_and_calibration_rows_alone(model, make_samples):
    rows = make_samples(200, 2)
    assert quantise(model, rows) == quantise(model, rows)
    assert quantise(model, rows) != quantise(model, make_samples(200, 9))


def test_only_layers_what_follows_them_and_embeddings_are_quantised(model):
    graph = onnx.load_model_from_string(model).graph
    assert nodes_to_quantise(graph) == ["embedding", "dense1", "relu", "dense2"]


def test_a_model_without_layers_cannot_be_int8():
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["logits"], "relu")],
        "plain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])],
    )
    model = canonical_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10))
    with pytest.raises(CompileError, match="no layer"):
        quantise(model, Samples(inputs={"x": np.ones((4, 2), np.float32)}))


def test_calibration_rows_of_another_model_are_refused(model):
    with pytest.raises(CompileError, match="cannot quantise"):
        quantise(model, Samples(inputs={"image": np.ones((4, 2), np.float32)}))


def test_a_session_names_what_it_cannot_load_or_run(model):
    with pytest.raises(CompileError, match="cannot load the model"):
        OnnxSession(b"not a model")
    with pytest.raises(CompileError, match="cannot run the model"):
        OnnxSession(model).run({"numeric": np.ones((1, 3), np.float32)})
