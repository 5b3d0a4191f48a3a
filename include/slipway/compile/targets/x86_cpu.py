"""``x86-cpu``: the exported model itself, float32, for ONNX Runtime on an x86-64 CPU."""

from __future__ import annotations

import platform

import onnx
import onnxruntime as ort

from slipway.compile.onnx_session import OnnxSession
from slipway.compile.targets.interface import Built, Source

RUNTIME_VERSION = ">=1.22"
"""The oldest ONNX Runtime this project's exports (IR 10, opset 20) were loaded with."""


def build(source: Source) -> Built:
    """The ONNX model unchanged: ONNX Runtime optimises it for the very CPU when a device loads it."""
    return built(source.onnx, precision="fp32")


def built(model: bytes, precision: str) -> Built:
    """An ONNX model as an artifact for ONNX Runtime on an x86-64 CPU."""
    return Built(
        artifact="model.onnx",
        data=model,
        runtime="onnxruntime",
        runtime_version=RUNTIME_VERSION,
        architecture="x86_64",
        precision=precision,
        compiler={"onnxruntime": ort.__version__, "onnx": onnx.__version__},
        hardware=f"{platform.machine()}-cpu",
        load=lambda: OnnxSession(model),
    )
