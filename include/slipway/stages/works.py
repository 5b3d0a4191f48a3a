"""The works of a training run, one per pod: what decides each one's outputs, its arguments, and where they lie.

Each work has its own fingerprint, which names the works it builds on by theirs: another bound of one target compiles
that target again and trains nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.connections import Runtime
from slipway.errors import ConfigurationError
from slipway.identity.digest import sha256_file
from slipway.identity.environment import lock_digest
from slipway.identity.explain import differences
from slipway.identity.fingerprint import Ingredients, cpu_hardware_class
from slipway.identity.machine import gpu_hardware_class
from slipway.lake.uri import LakeUri
from slipway.pipeline.spec import Pipeline, Target
from slipway.pods import entries
from slipway.pods.manifest import PodManifest, load_manifest
from slipway.stages.code import stage_code

TRAIN, EXPORT, COMPILE = entries.TRAIN, entries.EXPORT, entries.COMPILE
_ARCHITECTURE = "kubernetes.io/arch"


@dataclass(frozen=True)
class Work:
    """One pod's task: its arguments, and the lake prefix where its result must lie with which fingerprint."""

    arguments: list[str]
    output: str
    fingerprint: str
    ingredients: dict[str, Any]
    """``Ingredients.to_dict``."""


@dataclass(frozen=True)
class Data:
    """What a training learns from and is judged by."""

    partitions: Sequence[str]
    holdout: Sequence[str]
    champion: str | None
    """The version the new model is compared with, since it decides the verdict."""
    features: Mapping[str, str]
    """Object path -> the lake's checksum."""


def ingredients_of(pipeline: Pipeline, root: Path, runtime: Runtime, data: Data) -> dict[str, Ingredients]:
    """What decides each work, by work name: ``train``, ``export``, and one per target, builders first."""
    train = _ingredients(
        pipeline, root, runtime, TRAIN,
        parameters=_training(pipeline)
        | {"partitions": list(data.partitions), "holdout": list(data.holdout), "champion": data.champion},
        inputs=data.features,
    )  # fmt: skip
    export = _ingredients(
        pipeline, root, runtime, EXPORT,
        parameters={"model": pipeline.training.model, "parameters": pipeline.training.parameters},
        inputs={TRAIN: train.fingerprint()},
    )  # fmt: skip
    made = {TRAIN: train.fingerprint(), EXPORT: export.fingerprint()}
    compiled: dict[str, Ingredients] = {
        target.name: _ingredients(
            pipeline, root, runtime, target.name, parameters=_compiling(pipeline, target), inputs=made
        )
        for target in pipeline.compile.targets
    }
    return {TRAIN: train, EXPORT: export, **compiled}


def subject_of(work: str, data: Data) -> str:
    """What a work's statement is about: the target that is compiled, else the days."""
    return f"{data.partitions[0]}..{data.holdout[-1]}" if work in (TRAIN, EXPORT) else work


def works_of(pipeline: Pipeline, commit: str, branch: str, made_of: Mapping[str, Ingredients], data: Data) -> dict[
    str, Work
]:  # fmt: skip
    """Every pod's task, on a run branch that starts at ``commit``."""
    places = {name: _place(pipeline, branch, name, one) for name, one in made_of.items()}
    days = ["--commit", commit, "--partitions", ",".join(data.partitions), "--holdout", ",".join(data.holdout)]
    compared = ["--champion", data.champion] if data.champion else []
    made = ["--train", str(places[TRAIN]), "--export", str(places[EXPORT])]
    works = {}
    for name, one in made_of.items():
        own = {TRAIN: [*days, *compared], EXPORT: ["--input", made[1]]}.get(name, ["--target", name, *made])
        place, fingerprint = str(places[name]), one.fingerprint()
        shared = ["--pipeline", pipeline.name, "--fingerprint", fingerprint]
        works[name] = Work([*shared, *own, "--output", place], place, fingerprint, one.to_dict())
    return works


def require_unchanged(planned: Ingredients, now: Ingredients) -> None:
    """Stop a pod whose statement would name other code than the code it would run.

    Raises:
        ConfigurationError: code, settings, packages or manifests are no longer those of the plan; says which.
    """
    changed = differences(planned, now)
    if changed:
        raise ConfigurationError(
            f"expected the code and settings that `plan` fingerprinted, since then: {'; '.join(map(str, changed))}; "
            "what is made now would be recorded as made by the old ones: clear the run from `plan`"
        )


def _place(pipeline: Pipeline, branch: str, work: str, made_of: Ingredients) -> LakeUri:
    """A pod's folder; its last part is the fingerprint, by which those who read there know what to expect."""
    kind = work if work in (TRAIN, EXPORT) else f"{COMPILE}-{work}"
    return LakeUri(pipeline.repository, branch, f"models/{kind}/{made_of.fingerprint()}")


def _ingredients(
    pipeline: Pipeline,
    root: Path,
    runtime: Runtime,
    work: str,
    *,
    parameters: Mapping[str, Any],
    inputs: Mapping[str, str],
) -> Ingredients:
    pod = pipeline.training.pod if work in (TRAIN, EXPORT) else pipeline.compile.pods[work]
    manifest = root / "include" / "pods" / f"{pod}.yaml"
    code = stage_code(root, *entries.entries(pipeline, work))
    return Ingredients(
        stage=work if work in (TRAIN, EXPORT) else COMPILE,
        pipeline=pipeline.name,
        code=code.code,
        packages=code.packages,
        parameters={**parameters, "pod": sha256_file(manifest)},
        inputs=dict(inputs),
        environment=_environment(runtime, load_manifest(manifest), root),
        hardware=_hardware(runtime, load_manifest(manifest), work),
        seed=pipeline.training.seed if work == TRAIN else None,
    )


def _training(pipeline: Pipeline) -> dict[str, Any]:
    # Not how many days are chosen: the days themselves are parameters.
    decides = {"model", "parameters", "metric", "margins", "baseline", "slices"}
    return pipeline.training.model_dump(mode="json", include=decides)


def _compiling(pipeline: Pipeline, target: Target) -> dict[str, Any]:
    return {
        "target": target.name,
        "bounds": target.bounds.model_dump(mode="json"),
        "metric": pipeline.training.metric,
        "min_golden_agreement": pipeline.release.gates.min_golden_agreement,
    }


def _environment(runtime: Runtime, manifest: PodManifest, root: Path) -> str:
    """The image's digest where the pod runs in one that is named by it; else the lock, which images are built from."""
    _, pinned, digest = manifest.container.image.partition("@sha256:")
    return f"sha256:{digest}" if pinned and runtime != "process" else lock_digest(root)


def _hardware(runtime: Runtime, manifest: PodManifest, work: str) -> str:
    """What this machine has, for a process; else what the pod asks for, not the node it happens to run on."""
    limits = manifest.container.resources.limits
    asked = {**manifest.spec.selector, **{key: str(value) for key, value in limits.items() if "/" in key}}
    if runtime == "process":
        # Training takes a GPU wherever there is one; a target only where its pod asks for it, and an export never.
        takes_gpu = work == TRAIN or (work != EXPORT and any("gpu" in key for key in asked))
        return gpu_hardware_class() if takes_gpu else cpu_hardware_class()
    architecture = asked.pop(_ARCHITECTURE, "any")
    if not asked:
        return f"{architecture}-cpu"
    return ",".join(f"{key}={value}" for key, value in sorted({**asked, _ARCHITECTURE: architecture}.items()))
