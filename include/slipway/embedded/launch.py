"""Start one service in place of this process: ``python -S launch.py SPECIFICATION``.

The supervisor starts services through this file, so that neither its configuration nor a command line holds a
secret: the specification (JSON, mode 0600) has ``command``, ``environment`` (complete, nothing is inherited),
``directory`` and ``user`` (null: the present one). Only the standard library is imported: this runs at every start.

Before the service starts, processes that a crashed service left behind are ended: they are children of the
supervisor now (it adopts orphans) and belong to a process group whose leader is gone. A process that leads its own
group was detached on purpose and is left alone.
"""

from __future__ import annotations

import json
import os
import pwd
import signal
import sys
from pathlib import Path


def main(specification: str) -> None:
    """Clean up, take on the service's user, folder and environment, and become it."""
    service = json.loads(Path(specification).read_text(encoding="utf-8"))
    end_orphans(os.getppid())
    os.umask(0o077)
    os.chdir(service["directory"])
    if service["user"] is not None:
        entry = pwd.getpwnam(service["user"])
        os.initgroups(entry.pw_name, entry.pw_gid)
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
    os.execve(service["command"][0], service["command"], service["environment"])  # noqa: S606  no shell is meant


def end_orphans(supervisor: int) -> None:
    """Kill the supervisor's adopted children whose process group has lost its leader, with their descendants.

    This process's own group is spared: a shell that started it in the background may be gone.
    """
    table = _processes()
    spared = (supervisor, os.getpgrp())
    orphans = {
        pid
        for pid, (parent, group, _) in table.items()
        if parent == supervisor and group != pid and group not in spared and not _alive(table, group)
    }
    for pid in sorted(orphans):
        for victim in (pid, *_descendants(table, pid)):
            try:
                os.kill(victim, signal.SIGKILL)
            except ProcessLookupError:
                continue


def _alive(table: dict[int, tuple[int, int, str]], pid: int) -> bool:
    return pid in table and table[pid][2] != "Z"


def _descendants(table: dict[int, tuple[int, int, str]], pid: int) -> list[int]:
    children = [child for child, (parent, _, _) in table.items() if parent == pid]
    return [found for child in children for found in (child, *_descendants(table, child))]


def _processes() -> dict[int, tuple[int, int, str]]:
    """Every process: pid -> (parent, process group, state letter); source: ``proc(5)``."""
    table = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            # The name in parentheses may itself hold spaces and parentheses: split after the last one.
            fields = (folder / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        table[int(folder.name)] = (int(fields[1]), int(fields[2]), fields[0])
    return table


if __name__ == "__main__":
    main(sys.argv[1])
