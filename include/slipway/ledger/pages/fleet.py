"""Devices on a page: how many run something, which, and since when."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from html import escape

from slipway.ledger.pages.document import link, moment, table
from slipway.ledger.pages.drawing import Line, Node
from slipway.ledger.pages.links import Links
from slipway.release.fleet_history import Ran

_OPEN = 12
_PAST = 500
"""Devices that ran something and do not now, of which as many are listed; those that do are all listed."""


def devices_node(key: str, ran: Sequence[Ran] | None, href: str) -> Node:
    """How many devices run it; ``None``: the gateway does not say."""
    if ran is None:
        return Node(key, "unknown", (Line("the gateway is silent"),), href)
    now, ever = _devices(one for one in ran if one.now), _devices(ran)
    return Node(
        key,
        f"{len(now)} device{'' if len(now) == 1 else 's'}",
        (Line("run it now"), Line(f"{len(ever)} ever did")),
        href,
        hover="Devices, as far as the gateway has heard of them",
    )


def devices_section(ran: Sequence[Ran] | None, links: Links, why: str = "") -> str:
    """Every device that runs it, then those that did."""
    head = '<h2 id="devices">Devices</h2>'
    if ran is None:
        return f'{head}<div class="verdict bad"><b>Not known.</b> {escape(why)}</div>\n'
    now = [one for one in ran if one.now]
    gone = _devices(ran) - _devices(now)
    before = [one for one in ran if one.device_id in gone]
    rows = [_row(one, links) for one in now] + [_row(one, links) for one in before[:_PAST]]
    if not rows:
        return f'{head}<div class="card soft">No device is known to have run it.</div>\n'
    heads = ("device", "version", "since", "until")
    rest = ""
    if len(rows) > _OPEN:
        rest = f"<details><summary>{len(rows) - _OPEN} more</summary>{table(rows[_OPEN:], heads)}</details>\n"
    left = f"<p>and {len(before) - _PAST} times more in the past</p>" if len(before) > _PAST else ""
    return f"{head}{table(rows[:_OPEN], heads)}{rest}{left}"


def history_section(history: Iterable[Ran], links: Links) -> str:
    """All that a device ran, newest first."""
    rows = [
        (
            link(f"{one.pipeline}, version {one.version}", links.version(one.pipeline, one.version))
            if one.version
            else "nothing",
            clock(one.since) + (" by the gateway's clock" if one.clock == "gateway" else ""),
            _until(one),
            escape(one.release or "not named"),
        )
        for one in sorted(history, key=lambda one: one.since, reverse=True)
    ]
    return f"<h2>All it ran</h2>{table(rows, ('version', 'since', 'until', 'by release'))}" if rows else ""


def clock(seconds: float) -> str:
    """Unix seconds for people."""
    return f"{moment(dt.datetime.fromtimestamp(seconds, dt.UTC))} UTC"


def _row(one: Ran, links: Links) -> tuple[str, ...]:
    version = link(str(one.version), links.version(one.pipeline, one.version)) if one.version else "none"
    return link(one.device_id, links.device(one.device_id)), version, clock(one.since), _until(one)


def _until(one: Ran) -> str:
    if one.until is None:
        return f"<b>now</b>{f', heard of {clock(one.seen)}' if one.seen else ''}"
    return clock(one.until) + (", when it left the fleet" if one.removed else "")


def _devices(ran: Iterable[Ran]) -> set[str]:
    return {one.device_id for one in ran}
