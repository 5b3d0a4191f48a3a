"""What every question to the past needs: whom to ask, and how the answer leaves."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.tree import Tree

from slipway.commands.exits import FAILED, WRONG, fail
from slipway.embedded.local_settings import LocalSettings
from slipway.errors import SlipwayError
from slipway.ledger.audit.answers import Gap
from slipway.ledger.audit.records import LedgerRecords
from slipway.ledger.store import Ledger
from slipway.release.channel import Channel
from slipway.release.gateway_client import GatewayClient

AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]


@contextmanager
def questions() -> Iterator[None]:
    """An error of Slipway's ends the command, with the exit code that belongs to it."""
    try:
        yield
    except SlipwayError as error:
        fail(error)


def ledger() -> Ledger:
    """The local settings' ledger."""
    return Ledger(LocalSettings.load().ledger)


def records() -> LedgerRecords:
    """What it answers."""
    return LedgerRecords(ledger())


def fleet() -> GatewayClient:
    """The local settings' gateway."""
    return GatewayClient(LocalSettings.load().channel, attempts=2)


def channel() -> Channel:
    """The local settings' release channel."""
    return Channel(LocalSettings.load().channel)


def show(answer: Tree | Mapping[str, Any]) -> None:
    """Print a tree for people, or JSON on one line."""
    if not isinstance(answer, Tree):
        typer.echo(json.dumps(answer, ensure_ascii=False))
        return
    terminal = Console(highlight=False)
    # A pipe has no width; 80 columns would break lines.
    (terminal if terminal.is_terminal else Console(highlight=False, width=240)).print(answer)


def leave(gaps: Iterable[Gap] = (), *, known: bool = True) -> None:
    """Leave with the exit code of an answer: 2 where a source is down, 1 where one knows nothing."""
    found = list(gaps)
    if any(gap.down for gap in found):
        raise typer.Exit(WRONG)
    if found or not known:
        raise typer.Exit(FAILED)
    raise typer.Exit(0)
