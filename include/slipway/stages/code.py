"""The code of a stage of this project, as its fingerprint takes it."""

from __future__ import annotations

from pathlib import Path

from slipway.identity.code import Closure, closure
from slipway.identity.environment import LOCK
from slipway.settings import settings


def stage_code(root: Path, *entries: str) -> Closure:
    """The closure of files of the project, named by their paths below ``root``.

    Raises:
        ConfigurationError: one does not exist or is not Python, or the lock cannot be read.
    """
    roots = [root / "include", root / "spark_jobs"]
    return closure([root / entry for entry in entries], roots, lock=root / LOCK, cache=settings().imports_cache)
