"""The software environment a stage runs in, as one digest."""

from __future__ import annotations

from pathlib import Path

from slipway.errors import ConfigurationError
from slipway.identity.digest import sha256_file

LOCK = "requirements.lock"


def lock_digest(root: Path) -> str:
    """The sha256 of the project's dependency lock; what stands for the environment where there is no image digest.

    Raises:
        ConfigurationError: the lock is missing.
    """
    path = root / LOCK
    try:
        return sha256_file(path)
    except OSError as error:
        raise ConfigurationError(f"expected the dependency lock at {path}: {error}") from error
