"""``slipway ledger settle``: the way out when equal fingerprints gave other outputs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from slipway.commands.exits import FAILED
from slipway.commands.questions import ledger as local_ledger
from slipway.commands.questions import questions
from slipway.errors import ConfigurationError
from slipway.ledger.disputes import settlement
from slipway.ledger.recorded import Recorded
from slipway.settings import settings
from slipway.stages.run import Run

ledger = typer.Typer(no_args_is_help=True, help="What people decide on the ledger's statements.")


@ledger.callback()
def group() -> None:
    """Keeps ``settle`` a command of its own name."""


@ledger.command()
def settle(
    fingerprint: Annotated[str, typer.Argument(help="The disputed fingerprint, whole.")],
    keep: Annotated[
        str | None,
        typer.Option(metavar="DIGEST", help="Its outputs' digest, or how that begins; lists them when none."),
    ] = None,
    reason: Annotated[str, typer.Option(help="Why; it is signed and kept.")] = "",
) -> None:
    """Say which of several statements of one fingerprint counts; the others are rejected, and all are kept.

    The decision is signed with the approval key.

    Exit status: 0 settled, or listed; 1 the ledger has no such statement; 2 it could not be asked.
    """
    with questions():
        source = local_ledger()
        claims = source.claims(fingerprint)
        if keep is None:
            newest = source.find(fingerprint)
            _show(claims, newest)
            raise typer.Exit(0 if claims else FAILED)
        if not reason.strip():
            raise ConfigurationError("expected a reason for what is decided: --reason TEXT")
        now = dt.datetime.now(dt.UTC)
        run = Run("slipway ledger settle", f"cli__{now.isoformat(timespec='seconds')}", "manual", "")
        decision = settlement(
            [one.statement for one in claims], keep, reason.strip(), run.execution(settings().root, now)
        )
        source.record(decision)
    rejected = len(decision.ingredients.parameters["reject"])
    typer.echo(f"{fingerprint[:12]} is settled: {keep} counts, {rejected} other outputs are rejected.")


def _show(claims: Sequence[Recorded], newest: Recorded | None) -> None:
    table = Table("outputs' digest", "stage", "subject", "run", "finished", "reused")
    for one in claims:
        said = one.statement
        reused = newest is not None and not newest.disputed and newest.statement.stable_digest == said.stable_digest
        ran = f"{said.execution.dag_id} {said.execution.run_id}"
        ended = said.execution.finished.isoformat(timespec="seconds")
        table.add_row(said.outputs_digest, said.stage, said.subject, ran, ended, "yes" if reused else "no")
    terminal = Console(highlight=False)
    # A pipe has no width; 80 columns would cut digests off.
    (terminal if terminal.is_terminal else Console(highlight=False, width=240)).print(table)
