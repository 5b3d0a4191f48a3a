"""``slipway verify``: a bundle against a trust file, with no ledger and no network."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from slipway.commands.exits import FAILED, fail
from slipway.commands.keys import trust_file
from slipway.errors import ConfigurationError, EvidenceError
from slipway.ledger.bundle import Chain, check, read
from slipway.ledger.statement import Statement
from slipway.ledger.trust import Trust


def verify(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A release's bundle, as a file.")],
    trust: Annotated[
        Path | None, typer.Option(help="The trust file: whose signatures count; the local stack's when none.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Prove what a release was made of, down to the raw data: no ledger, no network.

    Every statement must be signed by a trusted key that was valid then and has the right role, and every material
    must be the output of another statement. The first broken link is named.

    Exit status: 0 verified; 1 not verified; 2 could not be checked (no such bundle, no trust file).
    """
    trusted = trust_file(trust)
    try:
        believed, content = Trust.load(trusted), _content(bundle)
    except ConfigurationError as error:
        fail(error)
    try:
        chain = check(read(content), believed)
    except EvidenceError as error:
        if as_json:
            typer.echo(json.dumps({"verified": False, "broken": str(error)}))
        else:
            typer.secho(f"{bundle} is NOT verified: {error}", err=True, fg="red")
        raise typer.Exit(FAILED) from error
    if as_json:
        typer.echo(json.dumps({"verified": True, "statements": as_data(chain)}))
        return
    terminal = Console(highlight=False)
    # A pipe has no width; 80 columns would break lines.
    console = terminal if terminal.is_terminal else Console(highlight=False, width=200)
    console.print(Text(f"{bundle} is verified: {len(chain.statements)} statements, by {trusted}"), soft_wrap=True)
    console.print(as_tree(chain))


def as_data(chain: Chain) -> list[dict[str, Any]]:
    """The statements as JSON data; ``made_of`` are positions in this list, the first is where the chain starts.

    ``outcome`` is a release's (``completed`` or ``rolled_back``), ``key`` (``id``, ``role``) whose signature counted.
    """
    return [
        {
            "stage": one.stage,
            "pipeline": one.pipeline,
            "subject": one.subject,
            "fingerprint": one.fingerprint,
            "finished": one.execution.finished.isoformat(),
            "outcome": _outcome(one),
            "key": {"id": key.keyid, "role": key.role},
            "git_commit": one.execution.git_commit,
            "git_dirty": one.execution.git_dirty,
            "commits": dict(one.commits),
            "outputs": dict(one.outputs),
            "made_of": list(makers),
        }
        for one, makers, key in zip(chain.statements, chain.makers, chain.keys, strict=True)
    ]


def as_tree(chain: Chain) -> Tree:
    """The chain for people: each statement once, below the last that used it, and a stage's many on one line."""
    tree = Tree(Text(_line(chain, [0])))
    shown = {0}
    pending = [(tree, [0])]
    while pending:
        branch, users = pending.pop()
        makers = {maker for user in users for maker in chain.makers[user]} - shown
        if not makers:
            continue
        group = _newest_stage(chain, makers)
        shown.update(group)
        below = branch.add(Text(_line(chain, group)))
        # What it was made of comes first, so that what is passed on stands where it was made.
        pending += [(branch, users), (below, group)]
    for number in (number for number in range(len(chain.statements)) if number not in shown):
        tree.add(Text(f"also: {_line(chain, [number])}"))
    return tree


def _newest_stage(chain: Chain, numbers: Iterable[int]) -> list[int]:
    groups: dict[tuple[str, str], list[int]] = {}
    for number in numbers:
        statement = chain.statements[number]
        groups.setdefault((statement.pipeline, statement.stage), []).append(number)
    return max(groups.values(), key=lambda group: max(chain.statements[one].execution.finished for one in group))


def _line(chain: Chain, numbers: Iterable[int]) -> str:
    group = sorted(numbers, key=lambda one: (chain.statements[one].subject, chain.statements[one].execution.finished))
    found = [chain.statements[number] for number in group]
    first, outputs = found[0], sum(len(one.outputs) for one in found)
    files = f"{outputs} output{'s' if outputs != 1 else ''}"
    keys = ", ".join(sorted({f"{chain.keys[number].role} key {chain.keys[number].keyid[:12]}" for number in group}))
    if len(found) > 1:
        return f"{first.stage}  {first.subject} .. {found[-1].subject}  ({len(found)} statements, {files}, {keys})"
    outcome = f"  {said.replace('_', ' ')}" if (said := _outcome(first)) else ""
    code = first.execution.git_commit
    checkout = f", git {code[:12]}{' and changes' if first.execution.git_dirty else ''}" if code else ""
    made = f"{first.fingerprint[:12]}, {first.execution.finished:%Y-%m-%d %H:%M:%S} UTC{checkout}"
    return f"{first.stage}  {first.subject}{outcome}  ({files}, {made}, {keys})"


def _outcome(statement: Statement) -> str | None:
    said = statement.ingredients.parameters.get("outcome") if statement.stage == "release" else None
    return None if said is None else str(said)


def _content(bundle: Path) -> bytes:
    try:
        return bundle.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"expected a bundle at {bundle}: {error.strerror}") from error
