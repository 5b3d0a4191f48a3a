"""``slipway audit``: what drove a device, what was made of a commit, how a version was made, who was champion.

Exit status of every question: 0 answered; 1 nothing is known, or what the ledger has does not verify; 2 a wrong
question, or a service that does not answer (what the others know is shown).
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated

import typer

from slipway.commands import audit_trees as trees
from slipway.commands.exits import fail
from slipway.commands.questions import AsJson, channel, fleet, leave, questions, records, show
from slipway.commands.recall import carry_out, require_devices
from slipway.errors import ConfigurationError
from slipway.ledger.audit import ask, plain
from slipway.ledger.audit.recall import recalls

app = typer.Typer(no_args_is_help=True, help="Questions about the past: devices, commits, models, champions.")


@app.command()
def device(
    device_id: Annotated[str, typer.Argument(metavar="DEVICE", help="The device's id.")],
    at: Annotated[str | None, typer.Option(help="ISO 8601; UTC where no zone is given; now when none.")] = None,
    as_json: AsJson = False,
) -> None:
    """What drove a device: version, artifact, model, training run, data, raw objects, code, hardware."""
    with questions():
        answer = ask.device(records(), fleet(), device_id, moment(at))
    show(plain.device_data(answer) if as_json else trees.device_tree(answer))
    leave(answer.gaps, known=answer.ran is not None)


@app.command()
def model(
    name: Annotated[str, typer.Argument(help="The model; its pipeline has the same name.")],
    version: Annotated[str, typer.Argument(help="MLflow's number.")],
    as_json: AsJson = False,
) -> None:
    """How a version was made, when it was champion, and where it runs."""
    with questions():
        answer = ask.model(records(), fleet(), name, version)
    show(plain.model_data(answer) if as_json else trees.model_tree(answer))
    leave(answer.gaps)


@app.command()
def champions(name: Annotated[str, typer.Argument(help="The model.")], as_json: AsJson = False) -> None:
    """Which version was champion when, as releases say; an alias moved by hand is not seen."""
    with questions():
        ask.require_pipeline(source := records(), name)
        reigns = source.reigns(name)
        back = [one for one in source.releases(name) if one.outcome == "rolled_back"]
    data = {
        "model": name,
        "champions": [plain.reign_data(one) for one in reigns],
        "rolled_back": [plain.released_data(one) for one in back],
    }
    show(data if as_json else trees.champions_tree(name, reigns, back))


@app.command()
def commit(
    commit_id: Annotated[str, typer.Argument(metavar="COMMIT", help="Its id, or at least 8 characters of it.")],
    as_json: AsJson = False,
    recall: Annotated[
        bool, typer.Option("--recall", help="Return its devices to the last clean version, once a person approves.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --recall: say what would be opened.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --recall: do not ask.")] = False,
) -> None:
    """Every model version, artifact, release and device made of a commit: the recall list."""
    if (dry_run or yes) and not recall:
        fail(ConfigurationError("expected --recall beside --dry-run or --yes; the list alone changes nothing"))
    with questions():
        source = records()
        answer = ask.commit(source, fleet(), commit_id)
        planned = recalls(source, answer, channel()) if recall else ()
    if not as_json:
        show(trees.commit_tree(answer))
    if not recall:
        if as_json:
            show(plain.commit_data(answer))
        leave(answer.gaps)
    require_devices(answer.devices)
    outcomes = [carry_out(one, quiet=as_json, dry_run=dry_run, yes=yes) for one in planned]
    if as_json:
        show({**plain.commit_data(answer), "recalls": outcomes})
    elif not outcomes:
        typer.echo("Nothing to recall: no device runs a version made of it, and no champion is one.")
    leave(answer.gaps, known=all(one["clean"] for one in outcomes))


def moment(text: str | None) -> dt.datetime:
    """The time that is asked about.

    Raises:
        ConfigurationError: it is no ISO 8601.
    """
    if text is None:
        return dt.datetime.now(dt.UTC)
    try:
        at = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(
            f"expected a time as ISO 8601, 2013-01-31T14:03 or 2013-01-31T14:03:00+01:00, got {text!r}"
        ) from error
    if at.tzinfo is None:
        typer.echo(f"{text} names no time zone: UTC is assumed.", err=True)
        return at.replace(tzinfo=dt.UTC)
    return at
