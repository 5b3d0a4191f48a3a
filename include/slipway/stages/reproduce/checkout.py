"""The code and parameters a statement was made with, as a folder: out of git, or this checkout if it is the same."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from slipway.errors import NotReproducibleError
from slipway.identity.digest import sha256_file
from slipway.ledger.statement import Statement

_SECONDS = 120
_FEW = 5
Changed = Callable[[Path], list[str]]
"""What, beside modules, differs between a checkout and a statement: parameters, a seed."""


@dataclass
class Checkouts:
    """Checkouts of the commits that statements name, each made once below ``folder``."""

    root: Path
    """The present checkout."""
    folder: Path
    _made: dict[str, Path | None] = field(default_factory=dict)

    def of(self, statement: Statement, changed: Changed) -> Path:
        """A checkout with every module as the statement names it, and with its parameters.

        Raises:
            NotReproducibleError: there is none; says which modules or parameters are not to be had.
        """
        tried = []
        for where, root in self._candidates(statement):
            lacking = modules_lacking(root, statement) or changed(root)
            if not lacking:
                return root
            more = f" and {len(lacking) - _FEW} more" if len(lacking) > _FEW else ""
            tried.append(f"{where}: {', '.join(lacking[:_FEW])}{more}")
        raise NotReproducibleError(
            f"expected the code and parameters that {statement.stage} of {statement.subject} was made with, which are "
            f"not to be had ({'; '.join(tried)}); check out what it was made from, or fetch the commit it names"
        )

    def _candidates(self, statement: Statement) -> Iterator[tuple[str, Path]]:
        commit = statement.execution.git_commit
        if commit is not None:
            if commit not in self._made:
                self._made[commit] = self._extract(commit)
            if made := self._made[commit]:
                edited = ", of which files were edited," if statement.execution.git_dirty else ""
                yield f"commit {commit[:12]}{edited} differs in", made
        yield f"{self.root} differs in", self.root

    def _extract(self, commit: str) -> Path | None:
        """The files of a commit; ``None`` where git does not have it. Nothing is written into the repository."""
        command = ["git", "-C", str(self.root), "archive", "--format=tar", commit]
        try:
            done = subprocess.run(command, check=False, capture_output=True, timeout=_SECONDS)
        except OSError:
            return None
        if done.returncode:
            return None
        place = self.folder / commit
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            archive.extractall(place, filter="data")
        return place


def modules_lacking(root: Path, statement: Statement) -> list[str]:
    """The modules of a statement that a checkout does not have as they were."""
    return [name for name, sha256 in statement.ingredients.code.items() if _digest(root / name) != sha256]


def _digest(path: Path) -> str | None:
    try:
        return sha256_file(path)
    except OSError:
        return None
