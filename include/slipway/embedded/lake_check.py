"""``slipway lake fsck``: check the embedded lake's data, and say what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from slipway.embedded.lakefs_server import fsck
from slipway.embedded.lakefs_server.folder_lock import held

_SHOWN = 100
"""Findings printed; one damaged node can make thousands."""


def run(data: Path, console: Console, *, deep: bool) -> int:
    """Print what is wrong under ``data``; the number of findings.

    Raises ConfigurationError if there is no lake or a server holds it.
    """
    count = 0
    with held(data, create=False), _progress(console) as progress:
        for finding in fsck.check(data, deep=deep, progress=progress):
            count += 1
            if count <= _SHOWN:
                console.print(f"{finding.repository}: {finding.what}\n    {finding.todo}", soft_wrap=True, markup=False)
    if count > _SHOWN:
        console.print(f"and {count - _SHOWN} more")
    verdict = f"{count} findings in {data}" if count else f"{data} is clean"
    console.print(verdict, soft_wrap=True, markup=False)
    return count


@contextmanager
def _progress(console: Console) -> Iterator[fsck.Progress]:
    """A bar for every repository, on a terminal."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        tasks: dict[str, TaskID] = {}

        def show(repository: str, done: int, stored: int) -> None:
            if repository not in tasks:
                tasks[repository] = bars.add_task(repository, total=stored)
            bars.update(tasks[repository], completed=done)

        yield show
