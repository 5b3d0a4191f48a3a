"""The compile pod: one target's artifact from the canonical ONNX model. Needs no torch.

``python -m slipway.compile --pipeline NAME --target T --fingerprint F --train lakefs://…/train
--export lakefs://…/export --output lakefs://…/compile-T``

Writes the artifact, ``manifest.json``, ``report.json`` and ``result.json``; on a machine that cannot build the target
only ``result.json``, with status ``skipped`` and the reason.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slipway.compile import parity
from slipway.compile.environment import environment
from slipway.compile.manifest import device_manifest
from slipway.compile.onnx_model import parse, signature
from slipway.compile.samples import Samples, read_samples
from slipway.compile.targets import load_target
from slipway.compile.targets.interface import Built, Skipped, Source
from slipway.errors import ConfigurationError
from slipway.lake.client import Lake
from slipway.lake.uri import LakeUri
from slipway.pipeline.load import find_pipeline
from slipway.pipeline.spec import Pipeline
from slipway.pods.entries import own_code
from slipway.pods.entrypoint import run
from slipway.pods.result import CLASSES, ObjectStore, PodResult, Reading, made_of, read_result, upload, write_result
from slipway.settings import settings

PACKAGES = ("onnx", "onnxruntime", "numpy", "tensorrt", "cuda-bindings")


@dataclass(frozen=True)
class Work:
    """One target of one pipeline to compile: where its inputs are and where its outputs go."""

    pipeline: Pipeline
    target: str
    fingerprint: str
    train: LakeUri
    export: LakeUri
    output: LakeUri
    run: str = ""
    """The run it is compiled for."""
    code: str = ""
    """Digest over this pod's code."""


def compile_pod(lake: ObjectStore, work: Work) -> PodResult:
    """Do the pod's whole work and return what was reported.

    Raises:
        ConfigurationError: the pipeline does not compile for the target.
        PodResultError: an earlier pod's outputs are missing or were changed.
        CompileError: the target's compiler failed.
        ParityError: the artifact is outside the pipeline's bounds; ``report.json`` stays for inspection.
    """
    if work.target not in {target.name for target in work.pipeline.compile.targets}:
        raise ConfigurationError(f"pipeline {work.pipeline.name!r} has no target {work.target!r} under compile.targets")
    target = load_target(work.target)
    read_result(lake, work.train, made_of(work.train))
    read_result(lake, work.export, made_of(work.export))
    reading = Reading(lake)
    source = Source(
        onnx=reading.get(work.export / "model.onnx"), calibration=lambda: _samples(reading, work, "calibration.npz")
    )
    outcome = target.build(source)
    result = _skipped(work, outcome) if isinstance(outcome, Skipped) else _checked(reading, work, source.onnx, outcome)
    write_result(lake, work.output, result)
    return result


def _skipped(work: Work, outcome: Skipped) -> PodResult:
    return PodResult(
        stage=f"compile-{work.target}",
        fingerprint=work.fingerprint,
        status="skipped",
        run=work.run,
        code=work.code,
        reason=outcome.reason,
        environment=environment(PACKAGES),
        hardware=f"{platform.machine()}-cpu",
    )


def _checked(lake: Reading, work: Work, onnx: bytes, built: Built) -> PodResult:
    golden = _samples(lake, work, "golden.npz")
    min_golden = work.pipeline.release.gates.min_golden_agreement
    measured = parity.measure(
        built.load(),
        len(built.data),
        holdout=_samples(lake, work, "holdout.npz"),
        golden=golden,
        metric=parity.METRICS[work.pipeline.training.metric],
    )
    report = {**measured.as_json(), "metric": work.pipeline.training.metric, "measured_on": built.hardware}
    upload(lake, work.output, {"report.json": _json(report)})
    parity.require(work.target, measured, work.pipeline.target(work.target).bounds, min_golden)
    manifest = device_manifest(
        pipeline=work.pipeline.name,
        target=work.target,
        fingerprint=work.fingerprint,
        built=built,
        onnx=onnx,
        signature=signature(parse(onnx)),
        classes=json.loads(lake.get(work.export / CLASSES)),
        golden_rows=golden.rows,
        min_golden_agreement=min_golden,
    )
    files = {**built.extras, built.artifact: built.data, "manifest.json": _json(manifest), "report.json": _json(report)}
    return PodResult(
        stage=f"compile-{work.target}",
        fingerprint=work.fingerprint,
        status="built",
        run=work.run,
        code=work.code,
        inputs=lake.read,
        outputs=upload(lake, work.output, files),
        varying=["report.json", *([] if built.deterministic else [built.artifact, "manifest.json", *built.extras])],
        report=report,
        environment=environment(PACKAGES),
        hardware=built.hardware,
    )


def _samples(lake: ObjectStore, work: Work, name: str) -> Samples:
    return read_samples(lake.get(work.train / name), name)


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, indent=2, sort_keys=True, allow_nan=False).encode() + b"\n"


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point; credentials of the lake come from its SDK's environment."""
    parser = argparse.ArgumentParser(prog="slipway.compile", description=__doc__)
    parser.add_argument("--pipeline", required=True)
    parser.add_argument("--target", required=True)
    parser.add_argument("--fingerprint", required=True)
    for place in ("train", "export", "output"):
        parser.add_argument(f"--{place}", required=True, type=LakeUri.parse)
    parser.add_argument("--run", default="", help="the run this is made for")
    options = parser.parse_args(argv)
    pipeline = find_pipeline(settings().pipelines, options.pipeline)
    work = Work(
        pipeline=pipeline,
        target=options.target,
        fingerprint=options.fingerprint,
        train=options.train,
        export=options.export,
        output=options.output,
        run=options.run,
        code=own_code(pipeline, options.target),
    )
    compile_pod(Lake.from_environment(), work)


if __name__ == "__main__":
    run(main)
