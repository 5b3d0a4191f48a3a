"""How a version was made as a graph in columns, from the raw data to its releases: which boxes, and which arrows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from slipway.ledger.inspection import Seen
from slipway.ledger.pages.document import moment
from slipway.ledger.pages.drawing import Graph, Line, Node, columns, simplest
from slipway.ledger.pages.fleet import devices_node
from slipway.ledger.pages.links import Links, outside
from slipway.ledger.statement import Statement
from slipway.release.fleet_history import Ran

COLUMNS = {
    "ingest": "raw data",
    "features": "features",
    "train": "training",
    "export": "ONNX",
    "compile": "targets",
    "register": "version",
    "release": "releases",
}
"""Stage -> what its column is called, from left to right; other stages come before the version."""
_MANY = frozenset({"ingest", "features"})
"""Stages of which there is one statement per partition: together one box."""
_RELEASES = 6
"""Releases that are drawn; all are listed below."""


def version_graph(
    chain: Sequence[Seen],
    releases: Sequence[Seen],
    links: Links,
    *,
    flaw: str | None = None,
    gaps: Mapping[int, str] | None = None,
) -> Graph:
    """The boxes and arrows of a version's making, and of its newest releases.

    ``flaw`` is why the version is not proved. ``gaps`` are those of the whole chain where ``chain`` is a part of it.
    """
    version, shown = chain[0], releases[:_RELEASES]
    gaps = missing(chain) if gaps is None else gaps
    flaws = {**({version.id: flaw} if flaw and not version.trouble else {}), **gaps}
    by_stage: dict[str, list[Seen]] = {}
    for one in (*chain, *shown):
        by_stage.setdefault(one.stage, []).append(one)
    boxes: dict[str, list[Node]] = {}
    box_of: dict[int, str] = {}
    for stage, found in by_stage.items():
        if stage in _MANY and len(found) > 1:
            boxes[stage] = [_together(found, gaps, links.partitions(version.pipeline, version.subject, stage))]
            box_of |= {one.id: stage for one in found}
        else:
            inside = sorted(found, key=lambda one: (one.subject, one.id))
            boxes[stage] = [_box(one, flaws.get(one.id), links, marked=one.id == version.id) for one in inside]
            box_of |= {one.id: str(one.id) for one in found}
    arrows = {(box_of[maker], box_of[user]) for maker, user in made_of((*chain, *shown))}
    return Graph(columns(_in_order(boxes)), simplest((maker, user) for maker, user in arrows if maker != user))


def with_devices(graph: Graph, version: Seen, devices: Sequence[Ran] | None) -> Graph:
    """The graph, and how many devices run the version, by whichever of its releases."""
    last, nodes = graph.columns[-1]
    brought = [node.key for node in nodes] if last == COLUMNS["release"] else [str(version.id)]
    column = ("devices", (devices_node("devices", devices, "#devices"),))
    return Graph((*graph.columns, column), graph.arrows | {(key, "devices") for key in brought})


def made_of(statements: Iterable[Seen]) -> set[tuple[int, int]]:
    """Maker and user, by row: an output of one is a material of the other."""
    said = [(one.id, one.statement) for one in statements if one.statement]
    makers: dict[tuple[str, str], list[int]] = {}
    for number, statement in said:
        for output in statement.outputs.items():
            makers.setdefault(output, []).append(number)
    return {
        (maker, number)
        for number, statement in said
        for material in statement.materials.items()
        for maker in makers.get(material, ())
        if maker != number
    }


def missing(chain: Sequence[Seen]) -> dict[int, str]:
    """By row: what a statement was made of that nothing in the chain made. The feed is where a chain may begin."""
    made = {output for one in chain if one.statement for output in one.statement.outputs.items()}
    found = {}
    for one in chain:
        if one.statement is None or one.stage == "ingest":
            continue
        unknown = [name for name, digest in one.statement.materials.items() if (name, digest) not in made]
        if unknown:
            found[one.id] = f"nobody is on record for {unknown[0]}" + (
                f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
            )
    return found


def _in_order(boxes: Mapping[str, Sequence[Node]]) -> list[tuple[str, Sequence[Node]]]:
    known = list(COLUMNS)
    other = [stage for stage in boxes if stage not in COLUMNS]
    order = [*known[: known.index("register")], *other, *known[known.index("register") :]]
    return [(COLUMNS.get(stage, stage), boxes.get(stage, ())) for stage in order]


def _together(found: Sequence[Seen], gaps: Mapping[int, str], href: str) -> Node:
    subjects = sorted(one.subject for one in found)
    bad = sum(1 for one in found if one.trouble or one.id in gaps)
    newest = max(one.finished for one in found)
    return Node(
        key=found[0].stage,
        title=f"{len(found)} partitions",
        lines=(
            Line(subjects[0]),
            Line(f"– {subjects[-1]}"),
            Line(f"{bad} are not proved", "bad") if bad else Line("✓ all verify", "good"),
        ),
        href=href,
        hover=f"{len(found)} statements of {found[0].stage}, the newest of {moment(newest)} UTC: open the list",
        state="broken" if bad else "good",
    )


def _box(one: Seen, flaw: str | None, links: Links, *, marked: bool) -> Node:
    trouble = one.trouble or flaw
    if one.problem is not None:
        last = Line("✗ does not verify", "bad")
    elif one.disputed:
        last = Line("✗ disputed", "bad")
    elif trouble:
        last = Line("✗ not proved", "bad")
    else:
        last = Line("✓ verifies", "good")
    return Node(
        key=str(one.id),
        title=f"version {one.subject}" if one.stage == "register" else title_of(one),
        lines=(
            Line(one.fingerprint[:12], "line mono"),
            Line(f"{moment(one.finished)}"),
            *((Line(_metric(one.statement)),) if _metric(one.statement) else ()),
            last,
        ),
        href=links.statement(one.fingerprint),
        outside=tuple(_outside(one, links)),
        hover=f"{one.stage} of {one.subject}, {one.fingerprint}. {trouble or 'Its signature verifies.'}",
        state="broken" if trouble else "good",
        marked=marked,
    )


def title_of(one: Seen) -> str:
    """What a box is called: a release by how it ended, everything else by what it is about."""
    if one.stage == "release" and one.statement:
        return str(one.statement.details.get("outcome") or one.subject).replace("_", " ")
    return one.subject


def _metric(statement: Statement | None) -> str:
    """The metric by which a version is judged."""
    details = statement.details if statement else {}
    name, measured = details.get("metric"), details.get("metrics")
    value = measured.get(name) if isinstance(measured, Mapping) and isinstance(name, str) else None
    return f"{name} {value:.4g}" if isinstance(value, int | float) else ""


def _outside(one: Seen, links: Links) -> Iterable[tuple[str, str]]:
    if one.statement is None:
        return
    if run := outside(one.statement.execution.run_url):
        yield "DAG run", run
    place = one.statement.commits.get("model") or one.statement.commits.get("main") or one.statement.commits.get("raw")
    if place and (page := links.lake(place)):
        yield "lakeFS", page
    if one.stage == "register" and (page := links.registered(one.pipeline, one.subject)):
        yield "MLflow", page
