"""The export pod: a trained PyTorch model becomes canonical ONNX.

``python -m slipway.compile.export --pipeline NAME --fingerprint F --input lakefs://…/train --output lakefs://…/export``

Writes ``model.onnx``, checked on held-out rows against PyTorch's own logits, ``classes.json`` and ``result.json``.
"""

from __future__ import annotations

import argparse
import logging
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slipway.compile.environment import environment
from slipway.compile.onnx_model import BATCH, canonical_bytes
from slipway.compile.onnx_session import LOGITS, OnnxSession
from slipway.compile.parity import agreement, run_all
from slipway.compile.samples import Samples, answered, read_samples
from slipway.errors import CompileError, ParityError
from slipway.identity.canonical import canonical_json
from slipway.identity.digest import sha256_bytes
from slipway.lake.client import Lake
from slipway.lake.uri import LakeUri
from slipway.pipeline.load import find_pipeline
from slipway.pipeline.spec import Pipeline
from slipway.pods.entries import EXPORT, own_code
from slipway.pods.entrypoint import run
from slipway.pods.result import CLASSES, ObjectStore, PodResult, Reading, made_of, read_result, upload, write_result
from slipway.settings import settings
from slipway.training.model_module import build, load_model_module

if TYPE_CHECKING:
    from torch import nn

OPSET = 20
MIN_AGREEMENT = 0.999
MAX_DIFFERENCE = 1e-3
"""Largest difference of a logit, relative to the largest logit: float32 leaves about 1e-6."""
PACKAGES = ("torch", "onnx", "onnxscript", "onnxruntime", "numpy")

_MAX_BATCH = 65536


@dataclass(frozen=True)
class Exported:
    """A canonical ONNX model and how it compares with PyTorch on the held-out rows."""

    model: bytes
    agreement: float
    max_difference: float
    """Largest absolute difference of a logit."""


def to_onnx(module: nn.Module, example: Mapping[str, NDArray[np.generic]]) -> bytes:
    """Export a module whose ``forward`` takes ``example``'s arrays by name; the first axis stays free.

    Args:
        module: returns logits float32 [rows, classes].
        example: at least two rows (one row would be taken for a constant).

    Raises:
        CompileError: torch cannot export the module, or what comes out is not valid ONNX.
    """
    import torch

    # torchvision's operators are looked up and reported missing on every export; no model here uses them.
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    rows = torch.export.Dim(BATCH, min=1, max=_MAX_BATCH)
    try:
        program = torch.onnx.export(
            module.eval(),
            kwargs={name: torch.from_numpy(values) for name, values in example.items()},
            input_names=list(example),
            output_names=[LOGITS],
            opset_version=OPSET,
            dynamic_shapes={name: {0: rows} for name in example},
            dynamo=True,
            verify=False,
            verbose=False,
        )
    except torch.onnx.errors.OnnxExporterError as error:
        raise CompileError(f"torch {torch.__version__} cannot export the model to ONNX: {error}") from error
    return canonical_bytes(program.model_proto)


def export(module: nn.Module, holdout: Samples) -> Exported:
    """Export a trained module and compare it with PyTorch's logits of the held-out rows.

    Raises:
        CompileError: it cannot be exported, or there are fewer than two rows.
        ParityError: the ONNX model answers differently.
    """
    if holdout.rows < 2:
        raise CompileError(f"holdout.npz: expected at least 2 rows to export with, got {holdout.rows}")
    expected = answered(holdout, "holdout.npz")
    model = to_onnx(module, {name: values[:2] for name, values in holdout.inputs.items()})
    logits = run_all(OnnxSession(model), holdout)
    exported = Exported(model, agreement(logits, expected), float(np.abs(logits - expected).max()))
    limit = MAX_DIFFERENCE * max(1.0, float(np.abs(expected).max()))
    if not (exported.agreement >= MIN_AGREEMENT and exported.max_difference <= limit):
        raise ParityError(
            f"the exported model is not the trained one: agreement {exported.agreement:.6g} (at least {MIN_AGREEMENT}),"
            f" largest difference of a logit {exported.max_difference:.3g} (at most {limit:.3g});"
            " look for operations in the model module that depend on its Python state or on training mode"
        )
    return exported


def load_trained(pipeline: Pipeline, models: Path, weights: bytes) -> tuple[nn.Module, tuple[str, ...]]:
    """The pipeline's module with trained weights, and its classes.

    Raises:
        ModelError: the model module cannot be used.
        CompileError: the weights do not fit it.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    source = load_model_module(models / f"{pipeline.training.model}.py")
    module = build(source, pipeline.training.parameters)
    try:
        module.load_state_dict(load(weights))
    except (RuntimeError, SafetensorError) as error:
        raise CompileError(f"model.safetensors does not fit {pipeline.training.model}.py: {error}") from error
    return module, tuple(source.CLASSES)


def export_pod(
    lake: ObjectStore,
    pipeline: Pipeline,
    models: Path,
    *,
    fingerprint: str,
    train: LakeUri,
    output: LakeUri,
    run: str = "",
    code: str = "",
) -> PodResult:
    """Do the pod's whole work and return what was reported; ``run`` and ``code`` as in ``PodResult``.

    Raises:
        PodResultError: the training pod's outputs are missing or were changed.
        SlipwayError: see ``export`` and ``load_trained``.
    """
    read_result(lake, train, made_of(train))
    reading = Reading(lake)
    holdout = read_samples(reading.get(train / "holdout.npz"), "holdout.npz")
    module, classes = load_trained(pipeline, models, reading.get(train / "model.safetensors"))
    exported = export(module, holdout)
    report: dict[str, Any] = {
        "opset": OPSET,
        "sha256": sha256_bytes(exported.model),
        "bytes": len(exported.model),
        "agreement": exported.agreement,
        "max_difference": exported.max_difference,
    }
    result = PodResult(
        stage="export",
        fingerprint=fingerprint,
        status="built",
        run=run,
        code=code,
        inputs=reading.read,
        outputs=upload(lake, output, {"model.onnx": exported.model, CLASSES: canonical_json(list(classes))}),
        report=report,
        environment=environment(PACKAGES),
        hardware=f"{platform.machine()}-cpu",
    )
    write_result(lake, output, result)
    return result


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point; credentials of the lake come from its SDK's environment."""
    parser = argparse.ArgumentParser(prog="slipway.compile.export", description=__doc__)
    parser.add_argument("--pipeline", required=True)
    parser.add_argument("--fingerprint", required=True)
    parser.add_argument("--input", required=True, type=LakeUri.parse, help="the training pod's output")
    parser.add_argument("--output", required=True, type=LakeUri.parse)
    parser.add_argument("--run", default="", help="the run this is made for")
    options = parser.parse_args(argv)
    pipeline = find_pipeline(settings().pipelines, options.pipeline)
    export_pod(
        Lake.from_environment(),
        pipeline,
        settings().models,
        fingerprint=options.fingerprint,
        train=options.input,
        output=options.output,
        run=options.run,
        code=own_code(pipeline, EXPORT),
    )


if __name__ == "__main__":
    run(main)
