"""The code of a stage of this project, as its fingerprint takes it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from slipway.identity.code import Closure, closure
from slipway.identity.environment import LOCK
from slipway.pods.entries import code_roots
from slipway.settings import settings

PYTHON = "python"
"""Beside the packages: the minor version of Python, which no lock pins."""


def stage_code(root: Path, *entries: str) -> Closure:
    """The closure of files of the project, named by their paths below ``root``; Python is one of its packages.

    Raises:
        ConfigurationError: one does not exist or is not Python, or the lock cannot be read.
    """
    files, lock = [root / entry for entry in entries], root / LOCK
    found = closure(files, code_roots(root), lock=lock, cache=settings().imports_cache)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return replace(found, packages=dict(sorted({PYTHON: version, **found.packages}.items())))
