"""``slipway …``: what people type. Everything else happens in Airflow."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from slipway.commands import audit, diff, disputes, reproduce, verify
from slipway.commands.effects import effects
from slipway.commands.exits import FAILED, WRONG, fail
from slipway.commands.keys import keys
from slipway.errors import ConfigurationError, ReleaseError, SlipwayError
from slipway.pipeline.load import find_pipeline, pipeline_file
from slipway.pipeline.project import working_pipeline
from slipway.settings import settings

app = typer.Typer(no_args_is_help=True, add_completion=False, help="CI/CD for machine-learning models, on Airflow.")
fleet = typer.Typer(no_args_is_help=True, help="The devices a pipeline releases to.")
app.add_typer(fleet, name="fleet")
lake = typer.Typer(no_args_is_help=True, help="The embedded lake's data: check it, collect what nothing refers to.")
app.add_typer(lake, name="lake")
app.command()(verify.verify)
app.command()(reproduce.reproduce)
app.add_typer(keys, name="keys")
app.command()(effects)
app.add_typer(disputes.ledger, name="ledger")
app.add_typer(audit.app, name="audit")
app.command()(diff.diff)
app.command("bundle")(diff.write_bundle)


@app.command()
def demo(
    pipeline: Annotated[str, typer.Option(help="The pipeline to take from data to devices.")] = "flight_delay",
    first: Annotated[
        dt.datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"],
            metavar="YYYY-MM-DD",
            show_default="the pipeline's start",
            help="First day to ingest.",
        ),
    ] = None,
    days: Annotated[
        int | None,
        typer.Option(min=2, show_default="as many as a training waits for", help="Days to ingest, of one month."),
    ] = None,
    exit_: Annotated[bool, typer.Option("--exit", help="Stop the local stack at the end.")] = False,
) -> None:
    """Raw data to a staged release on simulated devices, through Airflow; safe to run again."""
    from slipway.embedded.demo import Journey
    from slipway.embedded.demo_run import run_demo

    place = settings()
    try:
        found = working_pipeline(pipeline_file(place.pipelines, pipeline), place.root)
        journey = Journey.of(found, first.date() if first else None, days)
        run_demo(place, journey, Console(highlight=False), stop=exit_)
    except SlipwayError as error:
        fail(error)


@app.command()
def pipelines(
    files: Annotated[list[Path] | None, typer.Argument(help="Pipeline files; all of the project when none.")] = None,
) -> None:
    """List the pipelines and check their files."""
    table = Table("pipeline", "title", "owner", "schedule", "targets", "phases")
    wrong = 0
    for path in files or sorted(settings().pipelines.glob("*.yaml")):
        try:
            found = working_pipeline(path, settings().root)
        except ConfigurationError as error:
            typer.echo(str(error), err=True)
            wrong += 1
            continue
        targets = ", ".join(target.name for target in found.compile.targets)
        phases = " → ".join(f"{percent}%" for percent in found.release.phases)
        table.add_row(found.name, found.title, found.owner, found.schedule, targets, phases)
    if table.row_count:
        terminal = Console(highlight=False)
        # A pipe has no width; 80 columns would cut names off.
        Console(highlight=False, width=None if terminal.is_terminal else 160).print(table)
    if wrong:
        raise typer.Exit(WRONG)


@fleet.command()
def remove(
    pipeline: Annotated[str, typer.Argument(help="The pipeline the device belongs to.")],
    device: Annotated[str, typer.Argument(help="The device's id.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Make the gateway forget a device that is gone, or whose key is: releases wait for it no longer.

    What it reported is forgotten too, but not which version it ran when: what drove it stays answerable, and from
    the removal on the answer is that nothing is known. A device that still runs and has the enrolment token enrols
    again.
    """
    from slipway.embedded.local_settings import LocalSettings
    from slipway.release.gateway_client import GatewayClient

    try:
        find_pipeline(settings().pipelines, pipeline)
        gateway = GatewayClient(LocalSettings.load().channel)
        if not yes:
            typer.confirm(
                f"Remove {device} and what it reported from {pipeline}? (Which version it ran when is kept.)",
                abort=True,
            )
        if not gateway.remove(pipeline, device):
            raise ReleaseError(f"{pipeline} has no device {device!r} at the gateway; nothing was removed")
    except SlipwayError as error:
        fail(error)
    typer.echo(f"{device} is removed from {pipeline}.")


@lake.command()
def fsck(
    data: Annotated[Path | None, typer.Option(help="The lake's data folder; the local stack's when none.")] = None,
    deep: Annotated[bool, typer.Option("--deep", help="Read every object and compare its SHA-256.")] = False,
) -> None:
    """Check the stopped lake's data: exit status 0 clean, 1 findings, 2 could not be checked."""
    from slipway.embedded import lake_check
    from slipway.embedded.layout import Layout

    try:
        findings = lake_check.run(data or Layout.of(settings()).lake, Console(highlight=False), deep=deep)
    except SlipwayError as error:
        fail(error)
    if findings:
        raise typer.Exit(FAILED)


@lake.command()
def gc(
    older_than: Annotated[
        float, typer.Option(min=0, help="Hours that what nothing refers to is kept; an upload can be linked for 24.")
    ] = 24,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go.")] = False,
) -> None:
    """Collect what nothing refers to any more in the running local lake."""
    from slipway.embedded.local_settings import LocalSettings
    from slipway.lake.collect import collect

    try:
        found = collect(LocalSettings.load().lake, older_than_seconds=older_than * 3600, dry_run=dry_run)
    except SlipwayError as error:
        fail(error)
    columns = ("commits", "nodes", "uploads", "objects", "bytes", "seconds", "longest_hold_ms")
    table = Table("repository", *columns, title="would go" if dry_run else "collected")
    for one in found:
        table.add_row(one["repository"], *(f"{one[name]:,}" for name in columns))
    Console(highlight=False).print(table)
