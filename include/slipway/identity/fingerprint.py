"""The fingerprint of a stage: sha256 over everything that decides its output."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from slipway.identity.canonical import canonical_json
from slipway.identity.digest import sha256_bytes


@dataclass(frozen=True)
class Ingredients:
    """What decides a stage's output; anything left out must not change it."""

    stage: str
    pipeline: str
    code: Mapping[str, str]
    """Module path -> sha256, the closure of first-party imports."""
    parameters: Mapping[str, Any]
    inputs: Mapping[str, str]
    """Input name -> digest or commit id."""
    environment: str
    """Digest of the image or of the dependency lock."""
    hardware: str
    """Hardware class, for example ``x86_64-cpu``."""
    seed: int | None = None
    packages: Mapping[str, str] = field(default_factory=dict)
    """Distribution -> version, the third-party packages that code imports."""

    def fingerprint(self) -> str:
        """64 hex characters; equal ingredients give equal fingerprints on every machine."""
        return sha256_bytes(canonical_json(asdict(self)))


def cpu_hardware_class() -> str:
    """The hardware class of a stage that runs on this machine's CPU."""
    return f"{platform.machine()}-cpu"
