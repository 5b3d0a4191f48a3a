"""How a version was made, as a graph in columns from the raw data to its releases, and what its parts are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from slipway.ledger.inspection import Seen
from slipway.ledger.pages.document import document, link, moment, table, verdict
from slipway.ledger.pages.drawing import Graph, Line, Node, columns, scrolling, simplest
from slipway.ledger.pages.links import Links, outside
from slipway.ledger.statement import Statement

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


def version_page(
    chain: Sequence[Seen], releases: Sequence[Seen], flaw: str | None, champion: bool, links: Links
) -> bytes:
    """The page of a version.

    Args:
        chain: the version's statement, and everything it was made of, makers last.
        releases: what became of it, newest first.
        flaw: why the chain proves nothing; ``None``: it is proved.
        champion: whether the version is everybody's now.
        links: where links lead.
    """
    version = chain[0]
    title = f"{version.pipeline}, version {version.subject}"
    badge = ' <span class="badge mark">champion</span>' if champion else ""
    graph = version_graph(chain, releases, links)
    proof = (
        verdict("bad", "Not proved.", f"{flaw}. Do not rely on this version.")
        if flaw
        else verdict("good", "Proved.", f"{len(chain)} signed statements lead from this version down to the raw data.")
    )
    body = (
        f"<h1>{escape(title)}{badge}</h1>\n"
        f'<p class="soft">{link("all versions", links.pipeline(version.pipeline))} · registered '
        f"{moment(version.finished)} UTC{_registered(version, links)}</p>\n{proof}"
        f"{scrolling(graph, f'How {title} was made')}"
        '<p class="soft">A box opens its statement. An arrow that follows from others is left out.</p>\n'
        f"{_releases(releases, links)}{_targets(version.statement)}"
    )
    return document(title, body, links)


def partitions_page(members: Sequence[Seen], version: Seen, links: Links) -> bytes:
    """The list of one stage's statements in the making of a version."""
    stage = members[0].stage
    title = f"{COLUMNS.get(stage, stage)} of {version.pipeline}, version {version.subject}"
    rows = [
        (
            link(one.subject, links.statement(one.fingerprint)),
            f"<code>{one.fingerprint[:12]}</code>",
            f"{moment(one.finished)} UTC",
            state(one),
            _run(one),
        )
        for one in sorted(members, key=lambda one: (one.subject, one.id))
    ]
    body = (
        f"<h1>{escape(title)}</h1>\n"
        f'<p class="soft">{link("the version", links.version(version.pipeline, version.subject))} · '
        f"{len(members)} statements</p>\n"
        f"{table(rows, ('partition', 'fingerprint', 'made', 'state', 'by'))}"
    )
    return document(title, body, links)


def version_graph(chain: Sequence[Seen], releases: Sequence[Seen], links: Links) -> Graph:
    """The boxes and arrows of a version's making, and of its newest releases."""
    version, shown = chain[0], releases[:_RELEASES]
    gaps = missing(chain)
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
            boxes[stage] = [_box(one, gaps.get(one.id), links, marked=one.id == version.id) for one in inside]
            box_of |= {one.id: str(one.id) for one in found}
    arrows = {(box_of[maker], box_of[user]) for maker, user in made_of((*chain, *shown))}
    return Graph(columns(_in_order(boxes)), simplest((maker, user) for maker, user in arrows if maker != user))


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


def state(one: Seen) -> str:
    """Whether a statement can be relied on, in colour and words."""
    if one.problem:
        return f'<span class="bad">does not verify: {escape(one.problem)}</span>'
    if one.disputed:
        return '<span class="bad">disputed: others have its fingerprint and other outputs</span>'
    return '<span class="good">verifies</span>'


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


def _box(one: Seen, gap: str | None, links: Links, *, marked: bool) -> Node:
    trouble = one.trouble or gap
    if one.problem:
        last = Line("✗ does not verify", "bad")
    elif trouble:
        last = Line("✗ disputed" if one.disputed else "✗ a link is missing", "bad")
    else:
        last = Line("✓ verifies", "good")
    return Node(
        key=str(one.id),
        title=f"version {one.subject}" if one.stage == "register" else _title(one),
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


def _title(one: Seen) -> str:
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


def _registered(version: Seen, links: Links) -> str:
    page = links.registered(version.pipeline, version.subject)
    return f" · {link('in MLflow', page)}" if page else ""


def _run(one: Seen) -> str:
    if one.statement is None:
        return ""
    ran = one.statement.execution
    return link(f"{ran.dag_id} {ran.run_id}", outside(ran.run_url))


def _releases(releases: Sequence[Seen], links: Links) -> str:
    if not releases:
        return '<h2>Releases</h2><p class="soft">It was never released.</p>\n'
    rows = []
    for one in releases:
        said = one.statement.details if one.statement else {}
        rows.append(
            (
                link(_title(one), links.statement(one.fingerprint)),
                f"{moment(one.finished)} UTC",
                escape(str(said.get("reason") or "")),
                state(one),
                _run(one),
            )
        )
    return f"<h2>Releases</h2>{table(rows, ('outcome', 'ended', 'reason', 'state', 'by'))}"


def _targets(statement: Statement | None) -> str:
    """What was built for which devices, and what was not, and why."""
    found = statement.details.get("targets") if statement else None
    if not isinstance(found, list):
        return ""
    rows = [
        (
            escape(str(one.get("name"))),
            escape(str(one.get("status"))),
            escape(str(one.get("reason") or "")),
            _number(one.get("agreement"), ".4f"),
            _number(one.get("p50_ms"), ".3g"),
            f"<code>{escape(str(one.get('sha256') or '')[:12])}</code>",
        )
        for one in found
        if isinstance(one, Mapping)
    ]
    heads = ("target", "status", "reason", "agreement", "median ms", "sha256")
    return f"<h2>Targets</h2>{table(rows, heads)}"


def _number(value: object, form: str) -> str:
    return format(value, form) if isinstance(value, int | float) else ""
