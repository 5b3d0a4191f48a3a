"""A graph of a few columns as inline SVG: boxes that lead on, and arrows from what was used to what was made of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

State = Literal["plain", "good", "broken"]

_WIDTH, _GAP_X, _GAP_Y = 128, 22, 18  # of a box, and between boxes, in CSS pixels
_HEAD = 30  # the height of the columns' names
_MARGIN = 4  # room for a thick border
_PAD = 11  # between a box's border and its text
_TITLE, _LINE = 17, 16  # heights of a line
_BESIDE = 2  # links at a box's foot that fit beside each other
_FITS_TITLE, _FITS_LINE = 15, 18  # characters that fit into a box


@dataclass(frozen=True)
class Line:
    """A line of a box."""

    text: str
    kind: Literal["line", "line mono", "good", "bad", "mark"] = "line"


@dataclass(frozen=True)
class Node:
    """One box."""

    key: str
    title: str
    lines: tuple[Line, ...] = ()
    href: str | None = None
    """Where a click on the box leads."""
    outside: tuple[tuple[str, str], ...] = ()
    """Text and address of links to other services, at the foot of the box."""
    hover: str = ""
    state: State = "plain"
    marked: bool = False
    """Whether this is what the page is about."""

    @property
    def _titles(self) -> list[str]:
        return _broken(self.title, _FITS_TITLE)

    @property
    def height(self) -> int:
        return 14 + _TITLE * len(self._titles) + _LINE * (len(self.lines) + self._rows) + (4 if self._rows else 2)

    @property
    def _rows(self) -> int:
        return -(-len(self.outside) // _BESIDE)

    def draw(self, x: int, y: int) -> str:
        """The box with its upper left corner there."""
        down = y + 8
        inside = ""
        for text in self._titles:
            down += _TITLE
            inside += f'<text class="title" x="{x + _PAD}" y="{down - 4}">{escape(text)}</text>'
        for line in self.lines:
            down += _LINE
            inside += f'<text class="{line.kind}" x="{x + _PAD}" y="{down - 4}">{escape(cut(line.text))}</text>'
        title = f"<title>{escape(self.hover)}</title>" if self.hover else ""
        box = f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{self.height}" rx="8"/>{inside}'
        if self.href:
            label = escape(f"{self.title}, {', '.join(line.text for line in self.lines)}")
            box = f'<a href="{escape(self.href)}" aria-label="{label}">{title}{box}</a>'
        else:
            box = title + box
        classes = " ".join(["node", *(["broken"] * (self.state == "broken")), *(["marked"] * self.marked)])
        return f'<g class="{classes}">{box}{self._feet(x + _PAD, y + self.height - 9)}</g>\n'

    def _feet(self, x: int, bottom: int) -> str:
        feet = ""
        for number, (text, address) in enumerate(self.outside):
            row, place = divmod(number, _BESIDE)
            across, down = x + place * (_WIDTH - 2 * _PAD) // _BESIDE, bottom - (self._rows - 1 - row) * _LINE
            feet += f'<a href="{escape(address)}"><text class="out" x="{across}" y="{down}">{escape(text)}</text></a>'
        return feet


@dataclass(frozen=True)
class Graph:
    """Columns of boxes, and arrows by the boxes' keys; an arrow leads to a later column."""

    columns: tuple[tuple[str, tuple[Node, ...]], ...]
    """Name and boxes, from left to right."""
    arrows: frozenset[tuple[str, str]]
    """From what was used to what was made of it."""


def svg(graph: Graph, label: str) -> str:
    """The drawing; it has its own size, and belongs into a box that scrolls."""
    heights = [sum(node.height + _GAP_Y for node in nodes) - _GAP_Y for _, nodes in graph.columns]
    height = _HEAD + max(heights, default=0) + 2 * _MARGIN
    width = len(graph.columns) * (_WIDTH + _GAP_X) - _GAP_X + 2 * _MARGIN
    places: dict[str, tuple[int, int, int]] = {}
    heads = boxes = ""
    for number, (name, nodes) in enumerate(graph.columns):
        x = _MARGIN + number * (_WIDTH + _GAP_X)
        y = _HEAD + _MARGIN + (max(heights) - heights[number]) // 2
        heads += f'<text class="head" x="{x + _WIDTH // 2}" y="16" text-anchor="middle">{escape(name)}</text>'
        for node in nodes:
            places[node.key] = (x, y, node.height)
            boxes += node.draw(x, y)
            y += node.height + _GAP_Y
    arrows = "".join(_arrow(places[start], places[end]) for start, end in sorted(graph.arrows))
    return (
        f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="group" '
        f'aria-label="{escape(label)}"><defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        f'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z"/></marker></defs>\n{heads}\n{arrows}\n{boxes}</svg>\n'
    )


def simplest(arrows: Iterable[tuple[str, str]]) -> frozenset[tuple[str, str]]:
    """The arrows without those that follow from others: what led to a thing by way of another is not drawn twice."""
    given = set(arrows)
    onward: dict[str, set[str]] = {}
    for start, end in given:
        onward.setdefault(start, set()).add(end)

    def reached(starts: set[str]) -> set[str]:
        seen, pending = set(starts), list(starts)
        for node in pending:
            new = onward.get(node, set()) - seen
            seen |= new
            pending += new
        return seen

    return frozenset((start, end) for start, end in given if end not in reached(onward[start] - {end}))


def cut(text: str, most: int = _FITS_LINE) -> str:
    """A text that fits, its end left out where it is too long."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _broken(text: str, most: int) -> list[str]:
    """One line, or two: a range breaks between its ends."""
    if len(text) <= most:
        return [text]
    first, between, last = text.partition("..")
    if between and len(first) < most:
        return [f"{first} –", cut(last, most)]
    return [text[:most], cut(text[most:], most)]


def _arrow(start: tuple[int, int, int], end: tuple[int, int, int]) -> str:
    x1, y1 = start[0] + _WIDTH, start[1] + start[2] // 2
    x2, y2 = end[0] - 2, end[1] + end[2] // 2
    bend = (x2 - x1) // 2
    return f'<path d="M{x1} {y1}C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}" marker-end="url(#tip)"/>'


def scrolling(graph: Graph, label: str) -> str:
    """The drawing in a box of its own, which the keyboard can scroll."""
    return f'<div class="card scroll" tabindex="0" role="region" aria-label="{escape(label)}">{svg(graph, label)}</div>'


def columns(named: Sequence[tuple[str, Sequence[Node]]]) -> tuple[tuple[str, tuple[Node, ...]], ...]:
    """The columns that have boxes."""
    return tuple((name, tuple(nodes)) for name, nodes in named if nodes)
