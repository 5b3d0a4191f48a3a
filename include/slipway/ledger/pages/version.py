"""The page of a version: how it was made, what became of it, and where it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from slipway.ledger.inspection import Seen
from slipway.ledger.pages.document import document, link, moment, table, verdict
from slipway.ledger.pages.drawing import scrolling
from slipway.ledger.pages.fleet import devices_section
from slipway.ledger.pages.links import Links, outside
from slipway.ledger.pages.making import COLUMNS, title_of, version_graph, with_devices
from slipway.ledger.statement import Statement
from slipway.release.fleet_history import Ran


def version_page(
    chain: Sequence[Seen],
    releases: Sequence[Seen],
    links: Links,
    *,
    flaw: str | None = None,
    champion: bool = False,
    devices: Sequence[Ran] | None = None,
    silence: str = "",
) -> bytes:
    """The page of a version.

    Args:
        chain: the version's statement, and everything it was made of, makers last.
        releases: what became of it, newest first.
        links: where links lead.
        flaw: why the chain proves nothing; ``None``: it is proved.
        champion: whether the version is everybody's now.
        devices: every time a device ran it; ``None``: the gateway does not say.
        silence: why not.
    """
    version = chain[0]
    title = f"{version.pipeline}, version {version.subject}"
    badge = ' <span class="badge mark">champion</span>' if champion else ""
    graph = with_devices(version_graph(chain, releases, links, flaw=flaw), version, devices)
    body = (
        f"<h1>{escape(title)}{badge}</h1>\n"
        f'<p class="soft">{link("all versions", links.pipeline(version.pipeline))} · registered '
        f"{moment(version.finished)} UTC{_registered(version, links)}</p>\n{proof(chain, flaw)}"
        f"{scrolling(graph, f'How {title} was made')}"
        '<p class="soft">A box opens its statement. An arrow that follows from others is left out.</p>\n'
        f"{_releases(releases, links)}{_targets(version.statement)}{devices_section(devices, links, silence)}"
    )
    return document(title, body, links)


def proof(chain: Sequence[Seen], flaw: str | None) -> str:
    """The banner that says whether a version's making is proved."""
    if flaw:
        return verdict("bad", "Not proved.", f"{flaw}. Do not rely on this version.")
    return verdict("good", "Proved.", f"{len(chain)} signed statements lead from this version down to the raw data.")


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


def state(one: Seen) -> str:
    """Whether a statement can be relied on, in colour and words."""
    if one.problem is not None:
        return f'<span class="bad">does not verify: {escape(one.problem)}</span>'
    if one.disputed:
        return '<span class="bad">disputed: others have its fingerprint and other outputs</span>'
    return '<span class="good">verifies</span>'


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
                link(title_of(one), links.statement(one.fingerprint)),
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
