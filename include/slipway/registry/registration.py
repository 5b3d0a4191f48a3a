"""What is registered, and the index that lets a reader verify what it reads back."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from slipway.errors import RegistryError
from slipway.identity.digest import sha256_bytes

FINGERPRINT_TAG = "slipway.fingerprint"
"""Tag of a version and of a run: the key by which a retry finds what an earlier try has made."""
INDEX_TAG = "slipway.index_sha256"
"""Tag of a version: the digest of its index file."""
INDEX = "index.json"
"""Written last into a version's folder: path -> digest and size of every other file."""

_HEX64 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[a-z][a-z0-9_]{1,40}")


@dataclass(frozen=True)
class Registration:
    """One model version to register.

    Attributes:
        name: the registered model's; the pipeline's name.
        fingerprint: 64 hex digits; a second registration with the same one returns the first one's version.
        onnx: the canonical model, what ``mlflow.onnx`` loads.
        artifacts: further files by path, such as ``targets/x86-cpu/model.onnx``.
        run_id: the MLflow run of the training; without one a run with a fingerprint's tag is adopted or made.
        run_fingerprint: the fingerprint of that run, the training's; the version's own when ``None``.
        input_example: a few rows of model inputs by name, shown beside the signature.
        tags: of the version; what links it to data commit, code digest, hardware class.
        metrics: logged to the run when one has to be made.

    Raises:
        RegistryError: a name, fingerprint or path that MLflow or a file system would misread.
    """

    name: str
    fingerprint: str
    onnx: bytes
    artifacts: Mapping[str, bytes] = field(default_factory=dict)
    run_id: str | None = None
    run_fingerprint: str | None = None
    input_example: Mapping[str, NDArray[np.generic]] | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_name(self.name)
        require_fingerprint(self.fingerprint)
        for path in self.artifacts:
            _require_path(path)
        reserved = {FINGERPRINT_TAG, INDEX_TAG} & set(self.tags)
        if reserved:
            raise RegistryError(f"tags {sorted(reserved)} are set by the registry itself; leave them out")


def require_name(name: str) -> None:
    """Raises ``RegistryError`` when ``name`` is no pipeline's name."""
    if not _NAME.fullmatch(name):
        raise RegistryError(f"expected a pipeline's name (a-z, 0-9, '_'), got {name!r}")


def require_fingerprint(fingerprint: str) -> None:
    """Raises ``RegistryError`` when ``fingerprint`` is not 64 hex digits."""
    if not _HEX64.fullmatch(fingerprint):
        raise RegistryError(f"expected a fingerprint of 64 hex digits, got {fingerprint!r}")


def index_of(files: Mapping[str, bytes]) -> bytes:
    """The index file of a version's folder; equal files give equal bytes."""
    entries = {path: {"sha256": sha256_bytes(data), "size": len(data)} for path, data in files.items()}
    return json.dumps(entries, indent=1, sort_keys=True).encode()


def read_index(data: bytes, expected_sha256: str, version: str) -> dict[str, str]:
    """Path -> sha256 of every file of a version.

    Raises:
        RegistryError: the index is not the one the version was registered with, or is malformed.
    """
    actual = sha256_bytes(data)
    if actual != expected_sha256:
        raise RegistryError(
            f"{version}: {INDEX} has sha256 {actual}, the version's tag says {expected_sha256}: its files were changed "
            "after registration; register the model again"
        )
    entries = json.loads(data)
    for path in entries:
        _require_path(path)
    return {path: entry["sha256"] for path, entry in entries.items()}


def verify(path: str, data: bytes, expected_sha256: str, version: str) -> None:
    """Raises ``RegistryError`` when a file's bytes are not those that were registered."""
    actual = sha256_bytes(data)
    if actual != expected_sha256:
        raise RegistryError(
            f"{version}: {path} has sha256 {actual}, its index says {expected_sha256}: it was changed after "
            "registration; register the model again"
        )


def _require_path(path: str) -> None:
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or str(pure) != path or not pure.parts:
        raise RegistryError(f"expected a plain relative path inside the version's folder, got {path!r}")
