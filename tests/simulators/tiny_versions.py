"""Real, tiny model versions for devices: an ONNX file, its manifest and its golden batch."""

from __future__ import annotations

import hashlib
import io
import json
import platform
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

CLASSES = ("on_time", "late")
WIDTH = 4


@dataclass(frozen=True)
class TinyVersion:
    """The three files of one version for one target."""

    model: bytes
    manifest: dict[str, Any]
    golden: bytes


def tiny_version(
    seed: int, *, pipeline: str = "flight_delay", target: str = "x86-cpu", wrong_golden: bool = False, **changes: Any
) -> TinyVersion:
    """A linear model made from ``seed``; ``changes`` replace fields of its manifest."""
    random = np.random.default_rng(seed)
    weight = random.standard_normal((WIDTH, len(CLASSES))).astype(np.float32)
    model = _linear(weight)
    rows = random.standard_normal((64, WIDTH)).astype(np.float32)
    logits = rows @ weight
    manifest = {
        "pipeline": pipeline,
        "target": target,
        "runtime": "onnxruntime",
        "runtime_version": ">=1.22",
        "architecture": platform.machine(),
        "precision": "fp32",
        "artifact": "model.onnx",
        "sha256": hashlib.sha256(model).hexdigest(),
        "size": len(model),
        "source_onnx_sha256": hashlib.sha256(model).hexdigest(),
        "inputs": {"x": {"dtype": "float32", "shape": ["batch", WIDTH]}},
        "outputs": {"logits": {"dtype": "float32", "shape": ["batch", len(CLASSES)]}},
        "classes": list(CLASSES),
        "golden": {"rows": 64, "min_agreement": 0.98},
        "compiler": {"onnxruntime": "1.32.0"},
        "fingerprint": "f" * 64,
    }
    return TinyVersion(
        model, {**manifest, **changes}, npz({"input:x": rows, "logits": -logits if wrong_golden else logits})
    )


def npz(arrays: dict[str, NDArray[Any]]) -> bytes:
    """The bytes of an ``.npz`` file."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def signed_paths(version: str, made: TinyVersion) -> dict[str, tuple[bytes, dict[str, str]]]:
    """The version's files as the channel's targets: content and what is announced, by path."""
    pipeline, target = made.manifest["pipeline"], made.manifest["target"]
    announced = {
        "pipeline": pipeline,
        "version": version,
        "target": target,
        "architecture": made.manifest["architecture"],
        "runtime": made.manifest["runtime"],
    }
    folder = f"{pipeline}/{version}/{target}"
    return {
        f"{folder}/model.onnx": (made.model, announced),
        f"{folder}/manifest.json": (json.dumps(made.manifest).encode(), announced),
        f"{pipeline}/{version}/golden.npz": (made.golden, {"pipeline": pipeline, "version": version}),
    }


def _linear(weight: NDArray[Any]) -> bytes:
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["logits"])],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", weight.shape[0]])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", weight.shape[1]])],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))
