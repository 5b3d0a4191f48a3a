"""Whether trees are whole and in their one canonical shape (see ``nodes.py``)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import msgspec

from slipway.embedded.lakefs_server.nodes import Node, border, decode, identity_of
from slipway.embedded.lakefs_server.trees import NO_ENTRIES

EntryCheck = Callable[[bytes, bytes], str | None]
"""(path, encoded entry) -> what is wrong with it."""


@dataclass(frozen=True)
class _Extent:
    """What a node's parent must know of it."""

    height: int
    rows: int
    first: bytes
    last: bytes


class TreeCheck:
    """Walks trees; a node that several trees share is looked at once."""

    def __init__(self, connection: sqlite3.Connection, entry: EntryCheck, visited: Callable[[], None]) -> None:
        self._connection = connection
        self._entry = entry
        self._visited = visited
        self._seen: dict[bytes, _Extent | None] = {}

    def tree(self, root: bytes) -> Iterator[str]:
        """What is wrong below ``root`` and was not told before."""
        if root in self._seen:
            return
        yield from self._node(root)
        extent = self._seen[root]
        if extent is not None and extent.height and extent.rows == 1:
            yield f"tree {root.hex()}: not canonical, its root has a single node below"

    def _node(self, identity: bytes) -> Iterator[str]:
        if identity in self._seen:
            return
        self._seen[identity] = None
        self._visited()
        row = self._connection.execute("SELECT data FROM nodes WHERE id = ?", (identity,)).fetchone()
        if row is None:
            yield f"node {identity.hex()} is missing"
            return
        try:
            node = decode(row[0])
        except (msgspec.DecodeError, TypeError) as error:
            yield f"node {identity.hex()} does not decode: {error}"
            return
        wrong = misshapen(identity, node)
        if wrong:
            yield f"node {identity.hex()}: {wrong}"
            return
        yield from self._nodes_below(identity, node) if node.height else self._entries(node)
        first = self._first(node)
        if node.keys:
            self._seen[identity] = _Extent(node.height, len(node.keys), first, node.keys[-1])

    def _first(self, node: Node) -> bytes:
        if not node.height:
            return node.keys[0] if node.keys else b""
        below = self._seen[node.values[0]]
        return b"" if below is None else below.first

    def _nodes_below(self, identity: bytes, node: Node) -> Iterator[str]:
        before: bytes | None = None
        for key, child in zip(node.keys, node.values, strict=True):
            yield from self._node(child)
            extent = self._seen[child]
            fits = extent is None or (extent.height == node.height - 1 and extent.last == key)
            if not fits or (extent is not None and before is not None and extent.first <= before):
                yield f"node {identity.hex()}: the node {child.hex()} does not belong below its row {key!r}"
            before = key

    def _entries(self, node: Node) -> Iterator[str]:
        for path, entry in zip(node.keys, node.values, strict=True):
            wrong = self._entry(path, entry)
            if wrong:
                yield wrong


def misshapen(identity: bytes, node: Node) -> str | None:
    """What is wrong with a node by itself: its id, its rows, their order, where it ends."""
    rows = len(node.keys)
    if identity_of(node) != identity:
        return "its content is not what its id names"
    if len(node.values) != rows or len(node.mtimes) != (0 if node.height else rows):
        return f"its {rows} keys have {len(node.values)} values and {len(node.mtimes)} times"
    if not rows:
        return None if identity == NO_ENTRIES else "it has no rows"
    if any(one >= other for one, other in pairwise(node.keys)):
        return "its keys are not in byte order"
    if any(border(key) != node.height for key in node.keys[:-1]):
        return "it does not end where the hash of its keys says (not canonical)"
    return None
