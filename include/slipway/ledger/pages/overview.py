"""The way in: the pipelines and their versions, which of them is everybody's, and how their releases ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from slipway.ledger.inspection import Place, Seen
from slipway.ledger.pages.document import document, link, moment, table
from slipway.ledger.pages.links import Links
from slipway.ledger.pages.version import state


@dataclass(frozen=True)
class Versions:
    """Some versions of a pipeline."""

    pipeline: str
    title: str
    registered: Sequence[Seen]
    """Newest first."""
    releases: Sequence[Seen]
    """Of these versions, newest first."""
    champion: str | None
    """The version whose release was completed last."""
    older: bool
    """Whether there are older versions."""


def champion_of(releases: Sequence[Seen]) -> str | None:
    """The version of the newest completed release, of a pipeline's newest first."""
    done = (one for one in releases if one.statement and not one.trouble)
    return next(
        (one.subject for one in done if one.statement and one.statement.details.get("outcome") == "completed"), None
    )


def overview_page(found: Sequence[Versions], links: Links) -> bytes:
    """All pipelines, each with its newest versions."""
    body = "<h1>How models were made</h1>\n" + "".join(
        f"<h2>{link(one.title, links.pipeline(one.pipeline))}</h2>\n{_table(one, links)}" for one in found
    )
    if not found:
        body += '<p class="soft">There is no pipeline you may see.</p>'
    return document("How models were made", body, links)


def pipeline_page(found: Versions, links: Links) -> bytes:
    """One pipeline's versions, a page of them."""
    return document(found.title, f"<h1>{escape(found.title)}</h1>\n{_table(found, links)}", links)


def choice_page(asked: str, found: Sequence[tuple[str, str]], links: Links) -> bytes:
    """Several things a search may have meant: text and address of each."""
    rows = "".join(f"<li>{link(text, address)}</li>" for text, address in found)
    return document(f"Found: {asked}", f"<h1>Which one?</h1><ul>{rows}</ul>", links, asked)


def decision_page(task: str, brief: dict[str, object], made: Place | None, links: Links) -> bytes:
    """What a task decided, hit or miss, and why (``Reuse.brief``)."""
    outcome, reasons = str(brief.get("outcome")), brief.get("reasons")
    lines = "".join(f"<li>{escape(str(one))}</li>" for one in reasons) if isinstance(reasons, list) else ""
    fingerprint = str(brief.get("fingerprint"))
    title = f"{brief.get('stage')} of {brief.get('subject')}: {outcome}"
    opened = (
        link("open its statement", links.statement(fingerprint))
        if made
        else "there is no statement of it yet: it is still being made, or it failed"
    )
    meaning = escape(_MEANING.get(outcome, outcome))
    body = (
        f"<h1>{escape(title)}</h1>\n"
        f'<p class="soft">{escape(task)} · <code>{escape(fingerprint)}</code></p>\n'
        f'<div class="verdict note"><b>{meaning}</b><ul>{lines}</ul></div>\n<p>{opened}</p>'
    )
    return document(title, body, links)


_MEANING = {
    "hit": "Nothing was made: it was there.",
    "adopted": "Nothing was made: an earlier try of this run had made it.",
    "miss": "It was made:",
    "force": "It was made although nobody knew a need for it:",
    "recheck": "It was made again, and compared with what was there:",
}


def _table(found: Versions, links: Links) -> str:
    if not found.registered:
        return '<p class="soft">No version is registered yet.</p>\n'
    rows = [_row(one, found, links) for one in found.registered]
    older = ""
    if found.older:
        address = links.older(found.pipeline, found.registered[-1].id)
        older = f"<p>{link('older versions', address)}</p>\n"
    return table(rows, ("version", "registered", "releases", "statement")) + older


def _row(one: Seen, found: Versions, links: Links) -> tuple[str, ...]:
    badge = ' <span class="badge mark">champion</span>' if one.subject == found.champion else ""
    ended = [
        link(f"{_outcome(release)} {moment(release.finished)}", links.statement(release.fingerprint))
        for release in found.releases
        if release.subject == one.subject
    ]
    return (
        link(f"version {one.subject}", links.version(found.pipeline, one.subject)) + badge,
        f"{moment(one.finished)} UTC",
        "<br>".join(ended) or '<span class="soft">none</span>',
        # Whether the rest of its making is proved takes reading all of it: its page says that.
        state(one) if one.trouble else '<span class="soft">registration verifies</span>',
    )


def _outcome(release: Seen) -> str:
    if release.trouble or release.statement is None:
        return "does not verify"
    return str(release.statement.details.get("outcome") or "ended").replace("_", " ")
