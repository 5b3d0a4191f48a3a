"""``python -m slipway.embedded up|down|status``: the local stack at a terminal.

Exit codes: 0 all is well; 1 a service does not work; 2 settings, ports or Java are not as they must be; 3 the stack
does not run; 130 interrupted.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from slipway.embedded.local_settings import LocalSettings
from slipway.embedded.stack import ServiceStatus, Stack
from slipway.embedded.terminal import print_addresses, terminal_progress
from slipway.errors import ConfigurationError, SlipwayError
from slipway.settings import settings

OK, NOT_WORKING, WRONG, NOT_RUNNING, INTERRUPTED = 0, 1, 2, 3, 130
_COLOURS = {"working": "green", "starting": "yellow", "failed": "red", "stopped": "dim"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m slipway.embedded", description="The local stack.")
    parser.add_argument("command", choices=("up", "down", "status"))
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds `up` waits for all services")
    given = parser.parse_args(arguments)
    console = Console(highlight=False)
    stack = Stack(settings())
    try:
        if given.command == "up":
            return _up(stack, console, given.timeout)
        return _down(stack, console) if given.command == "down" else _status(stack, console)
    except ConfigurationError as error:
        Console(stderr=True, highlight=False).print(f"[red]error:[/] {escape(str(error))}", soft_wrap=True)
        return WRONG
    except KeyboardInterrupt:
        console.print("Interrupted. What was started goes on: `make up` waits for it again, `make down` stops it.")
        return INTERRUPTED
    except SlipwayError as error:
        Console(stderr=True, highlight=False).print(f"[red]error:[/] {escape(str(error))}", soft_wrap=True)
        return NOT_WORKING


def _up(stack: Stack, console: Console, timeout: float) -> int:
    begin = time.monotonic()
    with terminal_progress(console, "starting the local stack") as progress:
        local = stack.up(progress, timeout)
    console.print(f"The local stack is up after {time.monotonic() - begin:.0f} s.\n")
    print_addresses(stack, local, console)
    return OK


def _down(stack: Stack, console: Console) -> int:
    with console.status("stopping the local stack"):
        stack.down()
    console.print("The local stack is down.")
    return OK


def _status(stack: Stack, console: Console) -> int:
    rows = stack.status()
    table = Table("service", "state", "pid", "port", "up for", "memory", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*_cells(row))
    console.print(table)
    console.print(
        f"memory of all: {sum(row.memory for row in rows) / 2**20:.0f} MB; logs: {stack.layout.logs}", soft_wrap=True
    )
    if not any(row.pid for row in rows):
        console.print("The local stack does not run; start it with `make up`.")
        return NOT_RUNNING
    print_addresses(stack, LocalSettings.load(stack.place), console)
    return OK if all(row.state == "working" for row in rows) else NOT_WORKING


def _cells(row: ServiceStatus) -> tuple[str, ...]:
    state = f"[{_COLOURS[row.state]}]{row.state}[/]"
    if not row.pid:
        return (row.title, state, "", str(row.port or ""), "", "")
    minutes, seconds = divmod(int(row.uptime), 60)
    hours, minutes = divmod(minutes, 60)
    age = f"{hours}:{minutes:02d}:{seconds:02d}"
    return (row.title, state, str(row.pid), str(row.port or ""), age, f"{row.memory / 2**20:.0f} MB")


if __name__ == "__main__":
    sys.exit(main())
