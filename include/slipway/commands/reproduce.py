"""``slipway reproduce``: a past version made again and compared."""

from __future__ import annotations

import datetime as dt
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from slipway.commands.exits import FAILED, WRONG
from slipway.errors import ConfigurationError, SlipwayError
from slipway.settings import settings
from slipway.stages.reproduce.verdict import STAGES, Judged, Outcome, Scope, Verdict, worst

_EXITS: dict[Outcome, int] = {"identical": 0, "within tolerance": 0, "diverged": FAILED}


def reproduce(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The pipeline, by whose name its model is registered.")],
    version: Annotated[str, typer.Argument(metavar="VERSION", help="The version's number.")],
    stages: Annotated[str, typer.Option(help="Only these, by commas; what is left out proves nothing.")] = ",".join(
        STAGES
    ),
    partitions: Annotated[
        int | None, typer.Option(min=1, help="Make the features of so many newest days only; all when none.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the verdict, as JSON, to this file.")] = None,
) -> None:
    """Make a past version again, in the code and parameters it was made with, and compare stage by stage.

    Reads the past and changes nothing published. The verdict is signed and kept in the ledger.

    Exit status: 0 identical, or within tolerance; 1 diverged, at the stage that is named; 2 it could not be done or
    judged.
    """
    console = Console(highlight=False)
    try:
        verdict = _made_again(model, version, _scope(stages, partitions), console)
        if out is not None:
            _write(out, verdict)
    except SlipwayError as error:
        typer.secho(f"{type(error).__name__}: {error}", err=True, fg="red")
        raise typer.Exit(WRONG) from error
    # A pipe has no width; 80 columns would break lines.
    wide = console if console.is_terminal else Console(highlight=False, width=160)
    wide.print(as_table(verdict))
    wide.print(Text(f"{model} version {version}: {verdict.outcome}: {verdict.reason}"))
    if not verdict.scope.whole:
        wide.print(Text("A part was asked for: this is no proof of the whole version."))
    raise typer.Exit(_EXITS.get(verdict.outcome, WRONG))


def as_table(verdict: Verdict) -> Table:
    """The verdict for people: a stage per line, and a line for each work that is not identical."""
    table = Table("stage", "verdict", "statements", "outputs", "seconds", "what differs")
    for stage in verdict.scope.stages:
        judged = verdict.of(stage)
        seconds = sum(one.seconds for one in judged)
        made = [one for one in judged if one.outcome != "skipped"]
        count = f"{len(made)} of {len(judged)}" if len(made) < len(judged) else str(len(judged))
        outputs = sum(one.outputs for one in made)
        table.add_row(stage, worst(judged), count, str(outputs), f"{seconds:.1f}" if seconds else "", "")
        for one in judged:
            if told := _told(one):
                table.add_row("", one.outcome, one.subject, "", "", Text(told))
    return table


def _told(judged: Judged) -> str:
    if judged.outcome == "skipped":
        return ""
    facts = [f"{one.name.rsplit('/', 1)[-1]}: {'; '.join(one.facts)}" for one in judged.differing if one.facts]
    numbers = ", ".join(f"{name} {value:.4g}" for name, value in judged.numbers.items())
    environment = f"another environment: {'; '.join(judged.environment)}" if judged.environment else ""
    return "\n".join(filter(None, (judged.reason, *facts, numbers, environment)))


def _made_again(model: str, version: str, scope: Scope, console: Console) -> Verdict:
    from slipway.embedded.local_settings import LocalSettings
    from slipway.ledger.store import Ledger
    from slipway.stages.reproduce.reproduction import Services
    from slipway.stages.reproduce.reproduction import reproduce as make_again
    from slipway.stages.run import Run

    local, begun = LocalSettings.load(), time.monotonic()
    now = dt.datetime.now(dt.UTC)
    return make_again(
        Services(local.lake, local.spark, local.mlflow),
        Ledger(local.ledger),
        model,
        version,
        scope=scope,
        run=Run("slipway reproduce", f"cli__{now.isoformat(timespec='seconds')}", "manual", ""),
        root=settings().root,
        var=settings().var,
        say=lambda line: console.print(Text(f"{time.monotonic() - begun:6.1f} s  {line}")),
    )


def _scope(stages: str, partitions: int | None) -> Scope:
    asked = [name.strip() for name in stages.split(",") if name.strip()]
    unknown = sorted(set(asked) - set(STAGES))
    if unknown or not asked:
        raise ConfigurationError(f"expected stages of {', '.join(STAGES)}, got {', '.join(unknown) or 'none'}")
    return Scope(tuple(stage for stage in STAGES if stage in asked), partitions)


def _write(out: Path, verdict: Verdict) -> None:
    from slipway.stages.reproduce.reproduction import written

    try:
        out.write_bytes(written(verdict))
    except OSError as error:
        raise ConfigurationError(
            f"the verdict ({verdict.outcome}) is in the ledger, but cannot be written to {out}: {error.strerror}"
        ) from error
