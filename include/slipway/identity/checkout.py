"""Which git commit the project is a checkout of, and whether its code differs from it."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_SECONDS = 10
_CODE = ("dags/", "include/", "plugins/", "spark_jobs/")
"""Where a file nobody tracks may be code that runs."""


@dataclass(frozen=True)
class Checkout:
    """``commit`` is 40 hex digits; both are ``None`` where the project is no checkout, as in an image."""

    commit: str | None = None
    dirty: bool | None = None


def checkout(root: Path) -> Checkout:
    """Ask git about a folder. An image has the file ``.git-commit`` instead: the commit, and ``dirty`` if it was."""
    stamp = root / ".git-commit"
    if stamp.is_file():
        commit, *state = stamp.read_text(encoding="ascii").split() or [""]
        return Checkout(commit, "dirty" in state) if len(commit) == 40 else Checkout()
    if not (root / ".git").exists() or shutil.which("git") is None:
        return Checkout()
    # One question for both: the header names the commit, each further line is a file that differs.
    command = ["git", "-C", str(root), "status", "--porcelain=v2", "--branch", "--untracked-files=normal"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_SECONDS)
    lines = done.stdout.splitlines()
    commit = next((line.split()[-1] for line in lines if line.startswith("# branch.oid ")), "")
    if done.returncode or len(commit) != 40:
        return Checkout()
    return Checkout(commit, any(map(_differs, lines)))


def _differs(line: str) -> bool:
    kind, _, path = line.partition(" ")
    return path.lstrip('"').startswith(_CODE) if kind == "?" else kind != "#"
