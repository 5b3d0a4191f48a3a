"""One statement for people: whether it can be believed, why it was made, of what, into what, by whom and which code."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from slipway.identity.explain import closest, differences
from slipway.ledger.inspection import Place, Seen
from slipway.ledger.pages.document import document, facts, link, moment, table, verdict
from slipway.ledger.pages.links import Links, outside
from slipway.ledger.pages.making import COLUMNS
from slipway.ledger.statement import Statement
from slipway.ledger.trust import role_of

_OPEN = 12
"""Rows of a table that are shown without a click."""
_DIFFERENCES = 60


@dataclass(frozen=True)
class Around:
    """What stands around a statement in the ledger."""

    makers: Mapping[str, Place]
    """Of its materials, by their names."""
    users: Sequence[Place]
    """The newest statements that were made of what it made."""
    used: int
    """How many there are."""
    earlier: Sequence[Statement]
    """What it may be compared with."""
    others: Sequence[Seen] = ()
    """Statements with the same fingerprint."""


def statement_page(seen: Seen, around: Around, links: Links) -> bytes:
    """The page of a statement."""
    title = f"{seen.stage} of {seen.pipeline}, {_subject(seen.stage, seen.subject)}"
    said = seen.statement
    crumbs = f'<p class="soft">{link(seen.pipeline, links.pipeline(seen.pipeline))} · {escape(_column(seen.stage))} · '
    if seen.stage in ("register", "release"):
        crumbs += f"{link(f'version {seen.subject}', links.version(seen.pipeline, seen.subject))} · "
    body = f"<h1>{escape(title)}</h1>\n{crumbs}<code>{escape(seen.fingerprint)}</code></p>\n{_belief(seen)}"
    if said is None:
        return document(title, f"{body}<p>Its envelope says nothing that can be read.</p>", links)
    body += (
        f"{_contradictions(seen, around.others)}"
        f"<h2>Why it was made</h2>{_why(seen, said, around.earlier, links)}"
        f"<h2>Who made it</h2>{_execution(seen, said, links)}"
        f"<h2>Made of</h2>{_materials(seen, said, around.makers, links)}"
        f"<h2>What it made</h2>{_outputs(said)}"
        f"<h2>What was made of that</h2>{_users(around, links)}"
        f"<h2>Ingredients</h2>{_ingredients(said)}"
    )
    if said.details:
        body += f'<h2>Details</h2><div class="card">{_json(said.details)}</div>'
    return document(title, body, links)


def _belief(seen: Seen) -> str:
    if seen.problem is not None:
        return verdict("bad", "Does not verify.", f"{seen.trouble}. What follows is only what it claims.")
    if seen.disputed:
        return verdict("bad", "Disputed.", f"{seen.trouble}: neither is reused, and neither proves anything.")
    keys = ", ".join(keyid[:12] for keyid in (seen.envelope.signatures if seen.envelope else ()))
    return verdict("good", "Verifies.", f"Signed by {role_of(seen.stage)} key {keys}, which is trusted for this stage.")


def _contradictions(seen: Seen, others: Sequence[Seen]) -> str:
    rows = []
    for one in others:
        ours = seen.statement.outputs if seen.statement else {}
        theirs = one.statement.outputs if one.statement else {}
        names = [name for name in sorted({*ours, *theirs}) if ours.get(name) != theirs.get(name)]
        shown = "<br>".join(
            f"{escape(name)}: <code>{_short(theirs.get(name))}</code> there, <code>{_short(ours.get(name))}</code> here"
            for name in names[:_OPEN]
        )
        run = one.statement.execution if one.statement else None
        by = link(f"{run.dag_id} {run.run_id}", outside(run.run_url)) if run else ""
        rows.append((f"{moment(one.finished)} UTC", by, shown))
    if not rows:
        return ""
    heads = ("finished", "by", "outputs that differ")
    return f"<h2>Others with the same fingerprint</h2>{table(rows, heads)}"


def _why(seen: Seen, said: Statement, earlier: Sequence[Statement], links: Links) -> str:
    nearest = closest(said.ingredients, [one.ingredients for one in earlier])
    if nearest is None:
        return f'<div class="card">No {escape(seen.stage)} of {escape(seen.pipeline)} was made before.</div>\n'
    then = next(one for one in earlier if one.ingredients is nearest)
    found = differences(nearest, said.ingredients)
    lines = "".join(f"<li>{escape(str(one))}</li>" for one in found[:_DIFFERENCES])
    rest = f"<li>and {len(found) - _DIFFERENCES} more</li>" if len(found) > _DIFFERENCES else ""
    before = link(f"{then.stage} of {then.subject}", links.statement(then.fingerprint))
    return (
        f'<div class="card"><p>Compared with the closest one before it, {before} of '
        f"{moment(then.execution.finished)} UTC:</p><ul>{lines}{rest}</ul></div>\n"
    )


def _execution(seen: Seen, said: Statement, links: Links) -> str:
    ran = said.execution
    lasted = ran.finished - ran.started
    checkout = "no git checkout"
    if ran.git_commit:
        changed = {True: ", with changes", False: "", None: ", changes unknown"}[ran.git_dirty]
        checkout = f"<code>{escape(ran.git_commit)}</code>{changed}"
    machine = ", ".join(f"{part} {value}" for part, value in ran.machine.items())
    rows = [
        ("DAG run", link(f"{ran.dag_id} {ran.run_id}", outside(ran.run_url))),
        ("from – to", f"{_second(ran.started)} – {_second(ran.finished)} UTC ({_duration(lasted)})"),
        ("git", checkout),
        ("machine", escape(machine or "unknown")),
        *((f"{role} commit", _commit(place, links)) for role, place in said.commits.items()),
    ]
    if seen.stage == "register" and (page := links.registered(seen.pipeline, seen.subject)):
        rows.append(("MLflow", link(f"{seen.pipeline}, version {seen.subject}", page)))
    return facts(rows)


def _commit(place: str, links: Links) -> str:
    commit = place.partition("@")[2]
    made = link("what was made of it", links.commit(commit))
    if page := links.lake(place):
        return f"{link(place, page, code=True)} · {made}"
    return f"<code>lakefs://{escape(place)}</code> · {made}"


def _materials(seen: Seen, said: Statement, makers: Mapping[str, Place], links: Links) -> str:
    def maker(name: str) -> str:
        if place := makers.get(name):
            return _to(place, links)
        if seen.stage == "ingest":
            return "the feed"
        return '<span class="bad">nobody is on record for it</span>'

    rows = [(escape(name), _digest(sha256), maker(name)) for name, sha256 in sorted(said.materials.items())]
    return _long(rows, ("material", "sha256", "made by"), "It names nothing it was made of.")


def _outputs(said: Statement) -> str:
    rows = [
        (escape(name) + (" (may vary)" if name in said.varying else ""), _digest(sha256))
        for name, sha256 in sorted(said.outputs.items())
    ]
    return _long(rows, ("output", "sha256"), "Nothing.")


def _users(around: Around, links: Links) -> str:
    rows = [(_to(one, links),) for one in around.users]
    if around.used > len(rows):
        rows.append((f"and {around.used - len(rows)} older ones",))
    return _long(rows, (), "Nothing yet.")


def _to(place: Place, links: Links) -> str:
    return link(f"{place.stage} of {_subject(place.stage, place.subject)}", links.statement(place.fingerprint))


def _subject(stage: str, subject: str) -> str:
    return f"version {subject}" if stage in ("register", "release") else subject


def _ingredients(said: Statement) -> str:
    made_of = said.ingredients.to_dict()
    short = facts(
        [
            ("environment", f"<code>{escape(made_of['environment'])}</code>"),
            ("hardware", escape(made_of["hardware"])),
            ("seed", "none" if made_of["seed"] is None else str(made_of["seed"])),
            ("parameters", _json(made_of["parameters"])),
        ]
    )
    lists = (("modules", "code"), ("packages", "packages"), ("inputs", "inputs"))
    return short + "".join(
        f"<details><summary>{len(made_of[member])} {name}</summary>"
        f"{table((escape(key), f'<code>{escape(text)}</code>') for key, text in sorted(made_of[member].items()))}"
        "</details>\n"
        for name, member in lists
    )


def _long(rows: Sequence[Sequence[str]], heads: Sequence[str], nothing: str) -> str:
    """A table; what is too long for a page waits behind a click."""
    if not rows:
        return f'<div class="card soft">{escape(nothing)}</div>\n'
    if len(rows) <= _OPEN:
        return table(rows, heads)
    rest = table(rows[_OPEN:], heads)
    return f"{table(rows[:_OPEN], heads)}<details><summary>{len(rows) - _OPEN} more</summary>{rest}</details>\n"


def _json(value: Any) -> str:
    text = json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True, default=dict)
    return f"<pre>{escape(text)}</pre>"


def _digest(sha256: str) -> str:
    return f'<code title="{escape(sha256)}">{escape(sha256[:12])}</code>'


def _short(sha256: str | None) -> str:
    return escape(sha256[:12]) if sha256 else "missing"


def _column(stage: str) -> str:
    return COLUMNS.get(stage, stage)


def _second(time: dt.datetime) -> str:
    return f"{time.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S}"


def _duration(lasted: dt.timedelta) -> str:
    seconds = lasted.total_seconds()
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
