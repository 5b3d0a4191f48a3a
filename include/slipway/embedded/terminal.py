"""A start of the stack as a terminal shows it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.status import Status


class TerminalProgress:
    """Prints what works, and behind it shows what is still awaited."""

    def __init__(self, console: Console, status: Status) -> None:
        self._console = console
        self._status = status

    def ready(self, title: str, seconds: float) -> None:
        self._console.print(f"[green]ready[/] {title:<24} {seconds:5.1f} s")

    def waiting(self, titles: tuple[str, ...]) -> None:
        if titles:
            self._status.update(f"waiting for {', '.join(titles)}")


@contextmanager
def terminal_progress(console: Console, title: str) -> Iterator[TerminalProgress]:
    """Progress for ``Stack.up`` on a console."""
    with console.status(title) as status:
        yield TerminalProgress(console, status)
