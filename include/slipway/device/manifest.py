"""What a compiled artifact says about itself, read strictly before the artifact is touched."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.errors import IncompatibleError

_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HEX_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Manifest:
    """``manifest.json`` of one target; ``runtime_version`` is a PEP 440 specifier such as ``>=1.22``.

    ``inputs`` maps each input's name to its numpy dtype; ``min_agreement`` is the share of golden rows on which the
    device must choose the same class as the trained model.
    """

    pipeline: str
    target: str
    runtime: str
    runtime_version: str
    architecture: str
    precision: str
    artifact: str
    sha256: str
    size: int
    inputs: Mapping[str, str]
    classes: tuple[str, ...]
    min_agreement: float


def parse_manifest(data: bytes) -> Manifest:
    """Read a manifest.

    Raises:
        IncompatibleError: it is not a manifest this agent can read.
    """
    try:
        value = json.loads(data)
        manifest = _manifest(value)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise IncompatibleError(
            f"expected a device manifest this agent reads, got one with a bad or missing field ({error}); compile again"
        ) from error
    if not _FILE_NAME.fullmatch(manifest.artifact) or not _HEX_DIGEST.fullmatch(manifest.sha256):
        raise IncompatibleError("expected a plain artifact file name and a sha256 in the manifest; compile again")
    return manifest


def read_manifest(path: Path) -> Manifest:
    """Read a manifest file; OSError and IncompatibleError pass through."""
    return parse_manifest(path.read_bytes())


def _manifest(value: dict[str, Any]) -> Manifest:
    texts = ("pipeline", "target", "runtime", "runtime_version", "architecture", "precision", "artifact", "sha256")
    for name in texts:
        if not isinstance(value[name], str):
            raise TypeError(f"{name} is {type(value[name]).__name__}")
    classes = tuple(str(label) for label in value["classes"])
    if len(classes) < 2 or len(classes) != len(value["classes"]):
        raise ValueError("classes")
    return Manifest(
        **{name: value[name] for name in texts},
        size=int(value["size"]),
        inputs={str(name): str(tensor["dtype"]) for name, tensor in value["inputs"].items()},
        classes=classes,
        min_agreement=float(value["golden"]["min_agreement"]),
    )
