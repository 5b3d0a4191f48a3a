"""What this machine is, for people who ask what a result was made on; nothing here decides a result."""

from __future__ import annotations

import platform
from functools import lru_cache
from pathlib import Path


@lru_cache
def this_machine() -> dict[str, str]:
    """``cpu`` by its model name, ``hardware`` by its class."""
    return {"cpu": _cpu(), "hardware": f"{platform.machine()}-cpu"}


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or platform.machine())
