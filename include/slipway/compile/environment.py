"""What a compile pod ran on, for its result file."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from slipway.identity.machine import this_machine


def environment(packages: Sequence[str]) -> dict[str, Any]:
    """Python's version, those of the packages that are installed, and the machine."""
    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return {"python": platform.python_version(), "packages": found, "machine": this_machine()}
