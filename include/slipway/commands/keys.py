"""``slipway keys``: whose signatures count."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from slipway.commands.exits import fail
from slipway.errors import SlipwayError
from slipway.ledger.keys import expire_key, trust_key
from slipway.ledger.trust import Role, Trust
from slipway.settings import settings

keys = typer.Typer(no_args_is_help=True, help="The keys that sign statements, and whose signatures count.")
TrustFile = Annotated[Path | None, typer.Option("--trust", help="The trust file; the local stack's when none.")]


@keys.command("list")
def list_keys(trust: TrustFile = None) -> None:
    """Show the keys of a trust file: id, role, kind, since when and until when."""
    try:
        found = Trust.load(trust_file(trust))
    except SlipwayError as error:
        fail(error)
    table = Table("key", "role", "kind", "made", "expires")
    for key in found.keys.values():
        times = (
            "" if moment is None else moment.isoformat(timespec="seconds") for moment in (key.created, key.expires)
        )
        table.add_row(key.keyid, key.role, str(key.public.scheme), *times)
    Console(highlight=False, width=None if Console().is_terminal else 160).print(table)


@keys.command("trust")
def add(
    role: Annotated[Role, typer.Argument(help="What it signs: `build`, or `approval` of releases.")],
    key: Annotated[str, typer.Argument(help="A private key: a PEM file, or hsm:…, awskms:…, gcpkms:…, azurekms:….")],
    trust: TrustFile = None,
) -> None:
    """Name a key's public half in the trust file, so that it may sign and is believed.

    An HSM that wants a PIN for that is asked for it.
    """
    pin = typer.prompt("PIN", hide_input=True) if key.startswith("hsm:") else None
    try:
        added = trust_key(trust_file(trust), role, key, pin)
    except SlipwayError as error:
        fail(error)
    typer.echo(f"{added.keyid} is trusted for {role}.")


@keys.command()
def expire(
    keyid: Annotated[str, typer.Argument(help="The key's id, or its beginning.")],
    at: Annotated[
        dt.datetime | None, typer.Option(formats=["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d"], help="In UTC; now when none.")
    ] = None,
    trust: TrustFile = None,
) -> None:
    """Believe a key only for what finished before a time: what it signed until then stays proved.

    A key that was stolen must leave the trust file instead, since a thief writes any time.
    """
    moment = at.replace(tzinfo=dt.UTC) if at else dt.datetime.now(dt.UTC)
    try:
        expired = expire_key(trust_file(trust), keyid, moment)
    except SlipwayError as error:
        fail(error)
    typer.echo(f"{expired.keyid} expires {moment.isoformat(timespec='seconds')}.")


def trust_file(named: Path | None) -> Path:
    """The trust file that is meant."""
    return named or settings().var / "keys" / "trust.json"
