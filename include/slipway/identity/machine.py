"""What this machine is, for people who ask what a result was made on; nothing here decides a result."""

from __future__ import annotations

import platform
import re
from functools import lru_cache
from pathlib import Path

_PROC = Path("/proc")


@lru_cache
def this_machine(proc: Path = _PROC) -> dict[str, str]:
    """``hardware`` by its class, ``cpu`` by its model name, and where there is an NVIDIA GPU, ``gpu`` and ``driver``.

    Read from Linux's ``/proc`` (NVIDIA's driver README, chapter "proc file system"): no library asks the GPU, and a
    container sees what its machine has.
    """
    found = {
        "hardware": f"{platform.machine()}-cpu",
        "cpu": _first(proc / "cpuinfo", r"model name\s*: (.+)") or platform.processor() or platform.machine(),
    }
    cards = sorted((proc / "driver/nvidia/gpus").glob("*/information"))
    names = [name for card in cards if (name := _first(card, r"Model:\s*(.+)"))]
    driver = _first(proc / "driver/nvidia/version", r"NVRM version:.*?\s(\d+(?:\.\d+)+)\s")
    if names:
        found["gpu"] = ", ".join(f"{names.count(name)} x {name}" for name in dict.fromkeys(names))
    if driver:
        found["driver"] = driver
    return found


def gpu_hardware_class() -> str:
    """The hardware class of a stage that takes this machine's GPUs where it has any: their models, not how many."""
    machine = this_machine()
    cards = [card.partition(" x ")[2] for card in machine.get("gpu", "").split(", ")]
    return f"{platform.machine()}-{'+'.join(cards)}" if any(cards) else machine["hardware"]


def _first(path: Path, pattern: str) -> str | None:
    try:
        match = re.search(pattern, path.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None
    return match.group(1).strip() if match else None
