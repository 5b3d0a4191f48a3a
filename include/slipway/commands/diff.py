"""``slipway diff`` and ``slipway bundle``: two versions compared, and one version's proof as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text
from rich.tree import Tree

from slipway.commands.exits import fail
from slipway.commands.questions import AsJson, ledger, questions, records, show
from slipway.errors import ConfigurationError
from slipway.ledger import bundle
from slipway.ledger.audit import ask
from slipway.ledger.audit.diff import DataDiff, StageDiff, VersionsDiff, diff_data
from slipway.ledger.audit.diff import diff as compare

Model = Annotated[str, typer.Argument(help="The model; its pipeline has the same name.")]
_MOST_DAYS = 6


def diff(
    name: Model,
    before: Annotated[str, typer.Argument(metavar="V1", help="A version.")],
    after: Annotated[str, typer.Argument(metavar="V2", help="Another.")],
    as_json: AsJson = False,
) -> None:
    """What differs in the making of two versions, stage by stage.

    Exit status: 0 compared; 1 the ledger does not know one of them; 2 it does not answer.
    """
    with questions():
        source = records()
        found = compare(ask.making(source, name, before), ask.making(source, name, after))
    show(diff_data(found) if as_json else diff_tree(found))


def write_bundle(
    name: Model,
    version: Annotated[str, typer.Argument(help="MLflow's number.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")],
) -> None:
    """Write the signed statements of a version and its releases as one file, for `slipway verify`.

    Exit status: 0 written; 1 the ledger does not know the version, or its chain has a gap or is disputed; 2 it does
    not answer.
    """
    with questions():
        making = ask.making(records(), name, version)
        source = ledger()
        found = source.chain(making.registered.statement.fingerprint)
        found += source.numbered(step.number for step in making.releases).values()
        bundle.require_undisputed(found)
        envelopes = [one.envelope for one in found]
        bundle.check(envelopes, source.trust())
        _write(output, bundle.pack(envelopes))
    typer.echo(f"{output}: {len(envelopes)} statements; `slipway verify {output}` proves them.")


def diff_tree(found: VersionsDiff) -> Tree:
    """For people: what does not differ is said in a word."""
    tree = Tree(Text(f"{found.pipeline}: version {found.before} → {found.after}", style="bold"))
    if found.same:
        tree.add(Text("nothing that decides a result differs"))
    _add_data(tree.add(Text("data")), found.data)
    for stage in found.stages:
        _add_stage(tree, stage)
    metrics = tree.add(Text("metrics"))
    for name, (old, new) in found.metrics.items():
        change = f"  ({new - old:+.6g})" if old is not None and new is not None else ""
        metrics.add(Text(f"{name}  {_number(old)} → {_number(new)}{change}"))
    return tree


def _add_data(tree: Tree, data: DataDiff) -> None:
    old, new = data.commits
    named = [commit or "none named" for commit in ((old,) if old == new else (old, new))]
    tree.add(Text(f"commit  {' → '.join(named)}"))
    for word, days in (("added", data.added), ("removed", data.removed), ("changed", data.changed)):
        if days:
            few = ", ".join(days[:_MOST_DAYS])
            tree.add(Text(f"{len(days)} {word}: {few}{' …' if len(days) > _MOST_DAYS else ''}"))
    if not (data.added or data.removed or data.changed):
        tree.add(Text("the same days with the same features"))


def _add_stage(tree: Tree, one: StageDiff) -> None:
    if one.only_in:
        tree.add(Text(f"{one.stage}  in version {one.only_in} alone"))
        return
    outputs = "the same outputs" if one.same_outputs else "other outputs"
    branch = tree.add(Text(f"{one.stage}  {outputs}"))
    for difference in one.differences:
        branch.add(Text(str(difference)))
    if one.follows:
        branch.add(Text(f"follows {', '.join(one.follows)}"))


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.6g}"


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all: half a bundle would be taken for a forged one."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        fail(ConfigurationError(f"expected to write {path}: {error.strerror}"))
