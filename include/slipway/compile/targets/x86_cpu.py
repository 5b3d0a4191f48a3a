"""``x86-cpu``: the exported model itself, float32, for ONNX Runtime on an x86-64 CPU."""

from __future__ import annotations

import platform

import onnx
import onnxruntime as ort

from slipway.compile.onnx_session import OnnxSession
from slipway.compile.targets.interface import Built, Skipped, Source

ARCHITECTURE = "x86_64"
RUNTIME_VERSION = ">=1.22"
"""The oldest ONNX Runtime this project's exports (IR 10, opset 20) were loaded with."""


def build(source: Source) -> Built | Skipped:
    """The ONNX model unchanged: ONNX Runtime optimises it for the very CPU when a device loads it."""
    return elsewhere(platform.machine()) or built(source.onnx, precision="fp32")


def elsewhere(machine: str) -> Skipped | None:
    """Why nothing is built on this machine: what was measured on another CPU would not be true of the target."""
    if machine == ARCHITECTURE:
        return None
    return Skipped(
        f"this machine is {machine}; parity for {ARCHITECTURE} is measured on {ARCHITECTURE}, compile it there"
    )


def built(model: bytes, precision: str) -> Built:
    """An ONNX model as an artifact for ONNX Runtime on an x86-64 CPU."""
    return Built(
        artifact="model.onnx",
        data=model,
        runtime="onnxruntime",
        runtime_version=RUNTIME_VERSION,
        architecture=ARCHITECTURE,
        precision=precision,
        compiler={"onnxruntime": ort.__version__, "onnx": onnx.__version__},
        hardware=f"{platform.machine()}-cpu",
        load=lambda: OnnxSession(model),
    )
