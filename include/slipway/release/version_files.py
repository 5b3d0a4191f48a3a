"""From the files of a registered model version to the artifacts of the channel, checked on the way."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from slipway.errors import ReleaseError
from slipway.release.channel_state import Artifact

SHARED = ("golden.npz", "evaluation.json")
MANIFEST = "manifest.json"
"""Beside a target's model: what it is, for the device that runs it."""
PROVENANCE = "provenance.json"
"""The bundle of statements that proves how the version was made; for people, devices do not ask for it."""


class _Manifest(BaseModel):
    """The part of a target's manifest the release itself depends on."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    pipeline: str
    target: str
    runtime: str
    architecture: str
    artifact: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    sha256: str
    size: int


def targets_of(files: Mapping[str, bytes]) -> frozenset[str]:
    """The targets a version was built for: those with a ``targets/<target>/manifest.json``."""
    return frozenset(path.split("/")[1] for path in files if path.startswith("targets/") and path.count("/") == 2)


def artifacts_of(pipeline: str, version: str, files: Mapping[str, bytes]) -> dict[str, Artifact]:
    """The version's artifacts by their path on the channel, ``<pipeline>/<version>/…``.

    Raises ReleaseError when a file is missing, unreadable, or not the one its manifest describes.
    """
    targets = targets_of(files)
    if not targets:
        raise ReleaseError(f"version {version} of {pipeline} was built for no target; compile it first")
    base = {"pipeline": pipeline, "version": version}
    shared = (*SHARED, PROVENANCE)
    artifacts = {f"{pipeline}/{version}/{name}": Artifact(_file(files, name, version), base) for name in shared}
    for target in sorted(targets):
        folder = f"targets/{target}"
        manifest = _manifest(pipeline, target, _file(files, f"{folder}/{MANIFEST}", version))
        model = _file(files, f"{folder}/{manifest.artifact}", version)
        if len(model) != manifest.size or hashlib.sha256(model).hexdigest() != manifest.sha256:
            raise ReleaseError(
                f"{folder}/{manifest.artifact} of version {version} is not what its manifest describes "
                f"({manifest.size} bytes, sha256 {manifest.sha256}); register the version again"
            )
        custom = {**base, "target": target, "architecture": manifest.architecture, "runtime": manifest.runtime}
        artifacts[f"{pipeline}/{version}/{target}/{manifest.artifact}"] = Artifact(model, custom)
        content = files[f"{folder}/{MANIFEST}"]
        artifacts[f"{pipeline}/{version}/{target}/{MANIFEST}"] = Artifact(content, custom)
    _check_evaluation(files["evaluation.json"], version)
    return artifacts


def _file(files: Mapping[str, bytes], name: str, version: str) -> bytes:
    if name not in files:
        raise ReleaseError(f"version {version} has no {name} (it has {sorted(files)}); register it again")
    return files[name]


def _manifest(pipeline: str, target: str, content: bytes) -> _Manifest:
    try:
        manifest = _Manifest.model_validate_json(content)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
        raise ReleaseError(f"targets/{target}/manifest.json is not a device manifest: {problems}") from error
    if (manifest.pipeline, manifest.target) != (pipeline, target):
        raise ReleaseError(
            f"targets/{target}/manifest.json describes {manifest.target} of {manifest.pipeline}; register it again"
        )
    return manifest


def _check_evaluation(content: bytes, version: str) -> None:
    try:
        shares = json.loads(content)["prediction_shares"]
        total = sum(float(share) for share in shares.values())
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ReleaseError(f"evaluation.json of version {version} has no prediction_shares; train it again") from error
    if abs(total - 1.0) > 0.01:
        raise ReleaseError(f"prediction_shares of version {version} sum to {total:.3f}, expected 1; train it again")
