"""What drove a device at a time: its version, and how that was made, down to the raw data."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from html import escape

from slipway.ledger.audit.answers import DeviceAnswer
from slipway.ledger.inspection import Seen
from slipway.ledger.pages.document import document, facts, link, moment, verdict
from slipway.ledger.pages.drawing import Graph, Line, Node, scrolling
from slipway.ledger.pages.fleet import clock, history_section
from slipway.ledger.pages.links import Links
from slipway.ledger.pages.making import missing, version_graph
from slipway.ledger.pages.version import proof
from slipway.release.fleet_history import Ran


def device_page(
    answer: DeviceAnswer, history: Sequence[Ran], chain: Sequence[Seen], flaw: str | None, links: Links
) -> bytes:
    """The page of a device.

    Args:
        answer: what it ran.
        history: all it ran, oldest first.
        chain: the statements of the version's making, its own first; none where the ledger has none.
        flaw: why they prove nothing.
        links: where links lead.
    """
    title = f"What drove {answer.device_id}"
    head = (
        f"<h1>{escape(title)}</h1>\n"
        f'<form><label for="at" class="soft">at (UTC)</label> <input id="at" name="at" type="datetime-local" '
        f'value="{answer.at.astimezone(dt.UTC):%Y-%m-%dT%H:%M}" required><button>Show</button></form>\n'
    )
    ran = answer.ran
    if ran is None or ran.version is None:
        said = verdict("note", "Nothing" if ran else "Not known.", "ran on it then." if ran else "No report tells.")
        return document(title, f"{head}{said}{history_section(history, links)}", links, answer.device_id)
    if chain:
        graph = device_graph(answer, ran, chain, links, flaw)
        body = f"{proof(chain, flaw)}{scrolling(graph, title)}\n"
    else:
        body = verdict("bad", "Not proved.", f"The ledger has no statement of version {ran.version}.")
    body += "".join(verdict("bad", f"The {gap.source} left a gap.", gap.reason) for gap in answer.gaps)
    page = f"{head}{body}{_facts(answer, ran, links)}{history_section(history, links)}"
    return document(title, page, links, answer.device_id)


def device_graph(answer: DeviceAnswer, ran: Ran, chain: Sequence[Seen], links: Links, flaw: str | None = None) -> Graph:
    """The making of its version, its own target alone, the release that brought it, and the device."""
    others = [one for one in chain if one.stage == "compile" and answer.target not in (None, one.subject)]
    own = [one for one in chain if one not in others]
    graph = version_graph(own, (), links, flaw=flaw, gaps=missing(chain))
    release, arrows = _release(answer, ran, links), set(graph.arrows)
    device = Node(
        key="device",
        title=answer.device_id,
        lines=(Line(answer.target or "target not known"), Line(f"since {clock(ran.since)[:10]}")),
        hover=f"{answer.device_id} ran version {ran.version}",
        marked=True,
    )
    arrows |= {(str(chain[0].id), "release"), ("release", "device")}
    shown = tuple((name, tuple(replace(node, marked=False) for node in nodes)) for name, nodes in graph.columns)
    return Graph((*shown, ("release", (release,)), ("device", (device,))), frozenset(arrows))


def _release(answer: DeviceAnswer, ran: Ran, links: Links) -> Node:
    if answer.release is None:
        text = "not on record" if ran.release else "not named"
        return Node("release", text, hover=f"release {ran.release or 'not named by the device'}: under way, or lost")
    statement = answer.release.statement
    outcome = str(statement.details.get("outcome") or statement.subject).replace("_", " ")
    bad = answer.release.disputed
    return Node(
        key="release",
        title=outcome,
        lines=(
            Line(statement.fingerprint[:12], "line mono"),
            Line(moment(statement.execution.finished)),
            Line("✗ disputed", "bad") if bad else Line("✓ verifies", "good"),
        ),
        href=links.statement(statement.fingerprint),
        hover=f"release {ran.release}",
        state="broken" if bad else "good",
    )


def _facts(answer: DeviceAnswer, ran: Ran, links: Links) -> str:
    until = "now, as far as is known" if ran.until is None else clock(ran.until)
    rows = [
        ("version", link(f"{ran.pipeline}, version {ran.version}", links.version(ran.pipeline, str(ran.version)))),
        ("from – to", f"{clock(ran.since)} – {until}"),
        ("clock", "the device's own" if ran.clock == "device" else "the gateway's: the device's could not be right"),
        ("release", escape(ran.release or "not named")),
        *(
            (f"artifact {one.target}", f"{escape(one.path)} <code>{escape(one.sha256)}</code>")
            for one in answer.artifacts
        ),
    ]
    return f"<h2>What it ran</h2>{facts(rows)}"
