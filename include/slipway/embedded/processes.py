"""The stack's processes as the operating system sees them: how much they use, and that none stays behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable

import psutil

from slipway.embedded.layout import Layout

_GRACE_SECONDS = 5.0


def descendants(pid: int) -> list[psutil.Process]:
    """Every process below this one; empty when it is gone."""
    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def left_behind(layout: Layout) -> list[psutil.Process]:
    """Processes of this stack that no supervisor looks after: they stand in its work folder, or are its PostgreSQL."""
    work, data = str(layout.work), str(layout.postgres)
    found = []
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        try:
            folder = process.cwd()
            if folder == work or (folder == data and process.name() == "postgres"):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def end(processes: Iterable[psutil.Process], grace: float = _GRACE_SECONDS) -> int:
    """Ask processes to end, then kill those still there after ``grace`` seconds. Returns how many there were.

    A process id that has passed to another process since is left alone.
    """
    alive = [process for process in processes if process.is_running()]
    for process in alive:
        # PostgreSQL waits for its clients on SIGTERM; SIGINT is its fast, orderly shutdown.
        _send(process, signal.SIGINT if _name(process) == "postgres" else signal.SIGTERM)
    _, stubborn = psutil.wait_procs(alive, timeout=grace)
    for process in stubborn:
        _send(process, signal.SIGKILL)
    psutil.wait_procs(stubborn, timeout=grace)
    return len(alive)


def memory(pid: int) -> int:
    """Bytes of memory a process and its descendants hold; what they share counts once, where that can be known."""
    try:
        process = psutil.Process(pid)
        return sum(_held(one) for one in (process, *process.children(recursive=True)))
    except psutil.NoSuchProcess:
        return 0


def _held(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.AccessDenied:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def _name(process: psutil.Process) -> str:
    try:
        return str(process.name())
    except psutil.NoSuchProcess:
        return ""


def _send(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return
