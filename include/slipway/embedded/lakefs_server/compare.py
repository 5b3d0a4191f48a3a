"""Differences of two trees and the three-way merge; both skip nodes that are equal."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from slipway.embedded.lakefs_server.nodes import Node
from slipway.embedded.lakefs_server.trees import Row, Trees

Strategy = Literal["", "source-wins", "dest-wins"]


@dataclass(frozen=True)
class Difference:
    """A path whose entries differ; None is absence. ``mtime`` is the right one's, in unix seconds."""

    path: bytes
    left: bytes | None
    right: bytes | None
    mtime: int = 0

    @property
    def kind(self) -> str:
        """The protocol's word for what happened going from left to right."""
        if self.left is None:
            return "added"
        return "removed" if self.right is None else "changed"


@dataclass(frozen=True)
class Merged:
    """The merged tree and the paths both sides changed differently (in byte order)."""

    tree: bytes
    conflicts: tuple[bytes, ...]


class _Place:
    """A row of a node."""

    __slots__ = ("at", "node")

    def __init__(self, node: Node, at: int) -> None:
        self.node = node
        self.at = at

    @property
    def key(self) -> bytes:
        return self.node.keys[self.at]


class _Rest:
    """What is still to come of a tree, from the first path >= ``lowest``: a place in each node on the way down."""

    def __init__(self, trees: Trees, root: bytes, lowest: bytes) -> None:
        self._nodes = trees.nodes
        self._lowest = lowest
        self._places: list[_Place] = []
        self._enter(root)

    def next(self) -> _Place | None:
        """The next row, of whatever height; None at the end."""
        while self._places:
            place = self._places[-1]
            if place.at < len(place.node.keys):
                return place
            self._places.pop()
        return None

    def open(self, place: _Place) -> None:
        """Go into the node that the next row names."""
        place.at += 1
        self._enter(place.node.values[place.at - 1])

    def _enter(self, identity: bytes) -> None:
        node = self._nodes.read(identity)
        self._places.append(_Place(node, bisect_left(node.keys, self._lowest)))


def differences(
    trees: Trees, left: bytes, right: bytes, *, prefix: bytes = b"", after: bytes = b""
) -> Iterator[Difference]:
    """Yield what differs, in byte order, for paths > ``after`` that begin with ``prefix``."""
    if left == right:
        return
    lowest = max(prefix, after + b"\0" if after else b"")
    one, other = _Rest(trees, left, lowest), _Rest(trees, right, lowest)
    while True:
        mine, theirs = one.next(), other.next()
        if mine and theirs and _skip_equal(mine, theirs):
            continue
        height = max((place.node.height for place in (mine, theirs) if place), default=-1)
        if height > 0:
            for rest, place in ((one, mine), (other, theirs)):
                if place and place.node.height == height:
                    rest.open(place)
            continue
        path = min((place.key for place in (mine, theirs) if place), default=None)
        if path is None or (path > prefix and not path.startswith(prefix)):
            return
        (old, _), (new, mtime) = _take(mine, path), _take(theirs, path)
        yield Difference(path, old, new, mtime)


def _skip_equal(mine: _Place, theirs: _Place) -> bool:
    """Go past rows that are the same on both sides; whether there were any."""
    one, other = mine.node, theirs.node
    if one.height != other.height:
        return False
    first, at, there = mine.at, mine.at, theirs.at
    most = min(len(one.keys) - at, len(other.keys) - there) + first
    while at < most and one.values[at] == other.values[there] and one.keys[at] == other.keys[there]:
        at += 1
        there += 1
    mine.at, theirs.at = at, there
    return at > first


def _take(place: _Place | None, path: bytes) -> tuple[bytes | None, int]:
    """Take the next row if it is that of ``path``: its entry and mtime."""
    if place is None or place.key != path:
        return None, 0
    place.at += 1
    return place.node.values[place.at - 1], place.node.mtimes[place.at - 1]


def merge(trees: Trees, base: bytes, destination: bytes, source: bytes, strategy: Strategy = "") -> Merged:
    """Bring what ``source`` changed since ``base`` into ``destination``.

    A path is a conflict when both changed it to different entries, or one deleted what the other changed;
    ``strategy`` decides such paths, and then none is reported.
    """
    if base == destination:
        return Merged(source, ())
    conflicts: list[bytes] = []
    changes: dict[bytes, Row | None] = {}
    for change in differences(trees, base, source):
        ours = trees.identity(destination, change.path)
        if ours == change.right:
            continue
        if ours == change.left or strategy == "source-wins":
            changes[change.path] = None if change.right is None else (change.right, change.mtime)
        elif not strategy:
            conflicts.append(change.path)
    return Merged(trees.apply(destination, changes), tuple(conflicts))
