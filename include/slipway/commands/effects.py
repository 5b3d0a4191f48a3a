"""``slipway effects``: what runs set out to change outside themselves and have not been seen to finish."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from slipway.commands.exits import fail
from slipway.errors import SlipwayError
from slipway.ledger.effects import EffectRecord


def effects(
    all_: Annotated[bool, typer.Option("--all/--open", help="Those that are closed too, the newest first.")] = False,
    pipeline: Annotated[str | None, typer.Option(help="Of this pipeline alone.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 1000,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array instead of a table.")] = False,
) -> None:
    """List the effects that are open: begun, or about to be, by a step that has not ended well.

    A run under way has some for moments. Those of a run that is over are closed by the DAG slipway.housekeeping.
    """
    from slipway.embedded.local_settings import LocalSettings
    from slipway.ledger.effects import Effects

    try:
        ledger = Effects(LocalSettings.load().ledger)
        records = ledger.records(state=None if all_ else "open", pipeline=pipeline, limit=limit)[::-1]
    except SlipwayError as error:
        fail(error)
    if as_json:
        typer.echo(json.dumps([as_plain(record) for record in records], indent=1))
    elif not records:
        typer.echo("No effect is recorded." if all_ else "No effect is open.")
    else:
        terminal = Console(highlight=False)
        # A pipe has no width; 80 columns would cut keys off.
        wide = Console(highlight=False, width=None if terminal.is_terminal else 240)
        wide.print(as_table(records, dt.datetime.now(dt.UTC)))


def as_plain(record: EffectRecord) -> dict[str, object]:
    """A record as JSON has it; times in ISO 8601, UTC."""
    closed = record.closed and record.closed.astimezone(dt.UTC).isoformat()
    return {
        **{name: getattr(record.effect, name) for name in ("kind", "key", "target")},
        **vars(record.origin),
        **{name: getattr(record, name) for name in ("state", "attempts", "outcome", "error")},
        "opened": record.opened.astimezone(dt.UTC).isoformat(),
        "closed": closed,
    }


def as_table(records: Sequence[EffectRecord], now: dt.datetime) -> Table:
    """The records, one a row; ages as of ``now``."""
    table = Table("age", "state", "kind", "key", "run", "task", "attempts", "outcome or error")
    for record in records:
        effect, origin = record.effect, record.origin
        said = record.error or record.outcome
        run = f"{origin.dag_id} {origin.run_id}"
        row = (age(now - record.opened), record.state, effect.kind, effect.key, run, origin.task_id)
        table.add_row(*row, str(record.attempts), said)
    return table


def age(passed: dt.timedelta) -> str:
    """A duration in its largest unit: ``12 s``, ``5 min``, ``3 h``, ``2 d``."""
    seconds = max(0, int(passed.total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
