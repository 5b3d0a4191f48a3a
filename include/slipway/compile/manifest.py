"""The device manifest: everything a device compares before it loads an artifact."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slipway.compile.onnx_model import Signature
from slipway.compile.targets.interface import Built
from slipway.identity.digest import sha256_bytes


def device_manifest(
    *,
    pipeline: str,
    target: str,
    fingerprint: str,
    built: Built,
    onnx: bytes,
    signature: Signature,
    classes: Sequence[str],
    golden_rows: int,
    min_golden_agreement: float,
) -> dict[str, Any]:
    """``manifest.json`` of a built artifact.

    Args:
        pipeline: its name.
        target: its name.
        fingerprint: of the work that made the artifact.
        built: the artifact.
        onnx: the canonical ONNX model it was compiled from.
        signature: that model's inputs and outputs.
        classes: what the logits' columns stand for.
        golden_rows: rows of the golden batch.
        min_golden_agreement: share of them a device must answer like PyTorch.
    """
    manifest = {
        "pipeline": pipeline,
        "target": target,
        "runtime": built.runtime,
        "runtime_version": built.runtime_version,
        "architecture": built.architecture,
        "precision": built.precision,
        "artifact": built.artifact,
        "sha256": sha256_bytes(built.data),
        "size": len(built.data),
        "source_onnx_sha256": sha256_bytes(onnx),
        "inputs": {name: tensor.as_json() for name, tensor in signature.inputs.items()},
        "outputs": {name: tensor.as_json() for name, tensor in signature.outputs.items()},
        "classes": list(classes),
        "golden": {"rows": golden_rows, "min_agreement": min_golden_agreement},
        "compiler": dict(built.compiler),
        "fingerprint": fingerprint,
    }
    return manifest if built.engine is None else {**manifest, "engine": dict(built.engine)}
