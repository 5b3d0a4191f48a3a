"""A small model with two inputs, made by hand, so that unit tests need no torch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from slipway.compile.onnx_model import canonical_bytes
from slipway.compile.onnx_session import OnnxSession
from slipway.compile.samples import Samples


def two_input_model() -> onnx.ModelProto:
    """Missing numbers become 0, a category is looked up, two dense layers follow."""
    random = np.random.default_rng(1)
    weights = {
        "zero": np.zeros((), np.float32),
        "column": np.array([0], np.int64),
        "table": random.normal(size=(6, 4)).astype(np.float32),
        "w1": random.normal(size=(7, 16)).astype(np.float32),
        "b1": random.normal(size=16).astype(np.float32),
        "w2": random.normal(size=(16, 2)).astype(np.float32),
        "b2": np.zeros(2, np.float32),
    }
    nodes = [
        helper.make_node("IsNaN", ["numeric"], ["missing"], "isnan"),
        helper.make_node("Where", ["missing", "zero", "numeric"], ["known"], "where"),
        helper.make_node("Gather", ["categorical", "column"], ["category"], "column", axis=1),
        helper.make_node("Squeeze", ["category", "axis"], ["index"], "squeeze"),
        helper.make_node("Gather", ["table", "index"], ["embedded"], "embedding"),
        helper.make_node("Concat", ["known", "embedded"], ["features"], "concat", axis=1),
        helper.make_node("Gemm", ["features", "w1", "b1"], ["dense"], "dense1"),
        helper.make_node("Relu", ["dense"], ["hidden"], "relu"),
        helper.make_node("Gemm", ["hidden", "w2", "b2"], ["logits"], "dense2"),
    ]
    graph = helper.make_graph(
        nodes,
        "two_inputs",
        [
            helper.make_tensor_value_info("numeric", TensorProto.FLOAT, ["batch", 3]),
            helper.make_tensor_value_info("categorical", TensorProto.INT64, ["batch", 2]),
        ],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(value, name) for name, value in {**weights, "axis": np.array([1])}.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.fixture(scope="session")
def model() -> bytes:
    return canonical_bytes(two_input_model())


@pytest.fixture(scope="session")
def make_samples(model: bytes) -> Callable[[int, int], Samples]:
    """Rows (seeded) with the model's own logits, labels that mostly follow them, and a tenth of the numbers missing."""

    def make(rows: int, seed: int) -> Samples:
        random = np.random.default_rng(seed)
        numeric = random.normal(size=(rows, 3)).astype(np.float32)
        numeric[random.random(numeric.shape) < 0.1] = np.nan
        inputs = {"numeric": numeric, "categorical": random.integers(0, 6, size=(rows, 2))}
        logits = OnnxSession(model).run(inputs)
        flipped = random.random(rows) < 0.1
        labels = np.where(flipped, logits.argmin(axis=1), logits.argmax(axis=1)).astype(np.int64)
        return Samples(inputs=inputs, labels=labels, logits=logits)

    return make
