"""ONNX files as values: a byte form that depends on the model alone, and the tensors that go in and out.

The exporter writes file paths of the exporting machine into ``metadata_props`` and its own build's version into
``producer_version``; with those cleared, equal models are equal bytes on every machine, so the digest of the bytes
is the model's identity.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from slipway.errors import CompileError

BATCH = "batch"
"""Name of the free first axis of every input and output."""


@dataclass(frozen=True)
class Tensor:
    """One input or output: a numpy dtype name and a shape whose free axes are names."""

    dtype: str
    shape: tuple[int | str, ...]

    def as_json(self) -> dict[str, Any]:
        return {"dtype": self.dtype, "shape": list(self.shape)}


@dataclass(frozen=True)
class Signature:
    """Every tensor a model takes and gives, by name and in the model's order."""

    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]


def parse(data: bytes) -> onnx.ModelProto:
    """The model in ``data``.

    Raises:
        CompileError: the bytes are not an ONNX model.
    """
    try:
        model = onnx.load_model_from_string(data)
    except DecodeError as error:
        raise CompileError(f"expected an ONNX model, got {len(data)} bytes that are none: {error}") from error
    if not model.graph.output:
        raise CompileError(f"expected an ONNX model, got {len(data)} bytes without a graph: export the model again")
    return model


def canonical_bytes(model: onnx.ModelProto) -> bytes:
    """Serialise a model so that equal models give equal bytes; the model is changed in place.

    Raises:
        CompileError: the model does not pass ONNX's own checker.
    """
    model.producer_name = "slipway"
    model.producer_version = ""
    _clear(model)
    _clear_graph(model.graph)
    for function in model.functions:
        _clear(function)
        _clear_each(function.value_info)
        _clear_nodes(function.node)
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise CompileError(f"expected a valid ONNX model, ONNX's checker says: {error}") from error
    return bytes(model.SerializeToString(deterministic=True))


def signature(model: onnx.ModelProto) -> Signature:
    """What goes in and what comes out of a model."""
    weights = {weight.name for weight in model.graph.initializer}
    return Signature(
        inputs={value.name: _tensor(value) for value in model.graph.input if value.name not in weights},
        outputs={value.name: _tensor(value) for value in model.graph.output},
    )


def _tensor(value: onnx.ValueInfoProto) -> Tensor:
    kind = value.type.tensor_type
    shape = tuple(axis.dim_param or int(axis.dim_value) for axis in kind.shape.dim)
    return Tensor(dtype=onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name, shape=shape)


def _clear(message: Any) -> None:
    message.doc_string = ""
    del message.metadata_props[:]


def _clear_each(messages: Iterable[Any]) -> None:
    for message in messages:
        _clear(message)


def _clear_graph(graph: onnx.GraphProto) -> None:
    _clear(graph)
    for values in (graph.input, graph.output, graph.value_info, graph.initializer):
        _clear_each(values)
    _clear_nodes(graph.node)


def _clear_nodes(nodes: Iterable[onnx.NodeProto]) -> None:
    for node in nodes:
        _clear(node)
        for attribute in node.attribute:
            attribute.doc_string = ""
            if attribute.HasField("g"):
                _clear_graph(attribute.g)
            for graph in attribute.graphs:
                _clear_graph(graph)
