from __future__ import annotations

import onnx
import pytest
from onnx import helper

from slipway.compile.onnx_model import Tensor, canonical_bytes, parse, signature
from slipway.errors import CompileError
from tests.unit.compile.conftest import two_input_model


def annotated(text: str) -> onnx.ModelProto:
    """The same model as another machine would export it."""
    model = two_input_model()
    model.producer_version = text
    model.doc_string = text
    for message in (model, model.graph, *model.graph.node, *model.graph.input, *model.graph.initializer):
        message.metadata_props.add(key="pkg.torch.onnx.stack_trace", value=text)
    for node in model.graph.node:
        node.doc_string = text
    return model


def test_canonical_bytes_do_not_depend_on_where_the_model_was_exported():
    here, there = canonical_bytes(annotated("/home/a/model.py")), canonical_bytes(annotated("/srv/b/model.py"))
    assert here == there
    assert b"/home/a" not in here


def test_canonical_bytes_change_with_a_weight():
    other = two_input_model()
    other.graph.initializer[2].raw_data = bytes(len(other.graph.initializer[2].raw_data))
    assert canonical_bytes(other) != canonical_bytes(two_input_model())


def test_annotations_inside_nested_graphs_and_functions_are_cleared():
    def branch(value: float) -> onnx.GraphProto:
        node = helper.make_node("Constant", [], ["chosen"], value_float=value, doc_string="/home/a")
        return helper.make_graph([node], "branch", [], [helper.make_tensor_value_info("chosen", 1, [])])

    condition = helper.make_node("If", ["flag"], ["y"], then_branch=branch(1.0), else_branch=branch(2.0))
    body = helper.make_node("Identity", ["x"], ["z"], doc_string="/home/a")
    function = helper.make_function("local", "Same", ["x"], ["z"], [body], [helper.make_opsetid("", 20)])
    call = helper.make_node("Same", ["y"], ["out"], domain="local")
    graph = helper.make_graph(
        [condition, call],
        "nested",
        [helper.make_tensor_value_info("flag", onnx.TensorProto.BOOL, [])],
        [helper.make_tensor_value_info("out", 1, [])],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("local", 1)]
    model = helper.make_model(graph, functions=[function], opset_imports=opsets, ir_version=10)
    assert b"/home/a" not in canonical_bytes(model)


def test_a_model_the_checker_rejects_is_refused():
    model = two_input_model()
    model.graph.node[0].op_type = "NoSuchOperator"
    with pytest.raises(CompileError, match="NoSuchOperator"):
        canonical_bytes(model)


def test_signature_names_types_and_the_free_axis(model):
    tensors = signature(parse(model))
    assert tensors.inputs == {
        "numeric": Tensor("float32", ("batch", 3)),
        "categorical": Tensor("int64", ("batch", 2)),
    }
    assert tensors.outputs == {"logits": Tensor("float32", ("batch", 2))}


@pytest.mark.parametrize("data", [b"", b"not a model", b"\x08\x0a"])
def test_bytes_that_are_no_model_are_refused(data):
    with pytest.raises(CompileError, match="expected an ONNX model"):
        parse(data)
