"""Immutable trees of entries: sorted maps from path to entry, by the id of their root node."""

from __future__ import annotations

import sqlite3
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from slipway.embedded.lakefs_server.nodes import EMPTY, Node, NodeCache, Nodes, border, identity_of

NO_ENTRIES = identity_of(EMPTY)
"""The tree without entries; every repository has it."""
Row = tuple[bytes, int]
"""What stands at a path: an encoded entry, and when it was written in unix seconds."""


@dataclass(frozen=True)
class Entry:
    """What an object is: ``size`` in bytes, ``checksum`` the MD5 clients see, ``sha256`` the file's address.

    Encoded it is the object's identity: equal bytes, equal object.
    """

    sha256: str
    checksum: str
    size: int
    content_type: str
    metadata: Mapping[str, str] = field(default_factory=dict)

    def encode(self) -> bytes:
        """The one encoding of this entry."""
        digests = bytes.fromhex(self.sha256), bytes.fromhex(self.checksum)
        return msgspec.msgpack.encode((*digests, self.size, self.content_type, sorted(self.metadata.items())))

    @classmethod
    def decode(cls, data: bytes) -> Entry:
        """The entry of an encoding."""
        sha256, checksum, size, content_type, metadata = msgspec.msgpack.decode(data)
        return cls(sha256.hex(), checksum.hex(), size, content_type, dict(metadata))


def sha256_of(identity: bytes) -> bytes:
    """The digest in an encoded entry, without decoding the rest: it follows the heads of the array and of itself."""
    return identity[3:35]


class Trees:
    """Reads and writes trees through one database connection; all it writes is part of that one's transaction."""

    def __init__(self, connection: sqlite3.Connection, cache: NodeCache) -> None:
        self.nodes = Nodes(connection, cache)

    def lookup(self, root: bytes, path: bytes) -> Row | None:
        """What stands at ``path``, or None."""
        node = self.nodes.read(root)
        while True:
            at = bisect_left(node.keys, path)
            if at == len(node.keys):
                return None
            if not node.height:
                return (node.values[at], node.mtimes[at]) if node.keys[at] == path else None
            node = self.nodes.read(node.values[at])

    def identity(self, root: bytes, path: bytes) -> bytes | None:
        """The encoded entry at ``path``, or None."""
        found = self.lookup(root, path)
        return None if found is None else found[0]

    def walk(self, root: bytes, prefix: bytes = b"", start: bytes = b"") -> Iterator[tuple[bytes, bytes, int]]:
        """Yield (path, entry, mtime) in byte order for paths >= ``start`` that begin with ``prefix``."""
        node = self.nodes.read(root)
        for at in range(bisect_left(node.keys, max(start, prefix)), len(node.keys)):
            key = node.keys[at]
            beyond = key > prefix and not key.startswith(prefix)
            if node.height:
                yield from self.walk(node.values[at], prefix, start)
            elif not beyond:
                yield key, node.values[at], node.mtimes[at]
            if beyond:
                return

    def apply(self, root: bytes, changes: Mapping[bytes, Row | None]) -> bytes:
        """Return the tree with ``changes`` (None removes); reads and writes only the nodes they fall into."""
        edit = _Edit(self.nodes, sorted(changes.items()))
        edit.feed(root, 0, len(changes))
        return edit.finish() or NO_ENTRIES


class _Edit:
    """Changes on their way into a tree, and the new tree's nodes as they grow from left to right, on every level.

    Of an old node's rows only the last can be a border of its level, so runs of rows are passed on without a look.
    """

    def __init__(self, nodes: Nodes, changes: Sequence[tuple[bytes, Row | None]]) -> None:
        self._nodes = nodes
        self._changes = changes
        self._keys = [key for key, _ in changes]
        self._growing = [Node(0, [], [], [])]

    def feed(self, identity: bytes, first: int, end: int) -> None:
        """Pass on an old node with the changes ``first`` to ``end`` made in it."""
        node = self._nodes.read(identity)
        if not node.height:
            self._change(node, first, end)
            return
        kept = 0
        while first < end:
            at = min(bisect_left(node.keys, self._keys[first]), len(node.keys) - 1)
            self._keep(node, kept, at)
            last = at == len(node.keys) - 1
            until = end if last else bisect_right(self._keys, node.keys[at], first, end)
            self.feed(node.values[at], first, until)
            first, kept = until, at + 1
        self._keep(node, kept, len(node.keys))

    def _change(self, leaf: Node, first: int, end: int) -> None:
        kept = 0
        for key, row in self._changes[first:end]:
            at = bisect_left(leaf.keys, key, kept)
            self._pass_on(leaf, kept, at)
            kept = at + 1 if at < len(leaf.keys) and leaf.keys[at] == key else at
            if row is not None:
                self._add(0, key, *row)
        self._pass_on(leaf, kept, len(leaf.keys))

    def _keep(self, node: Node, first: int, end: int) -> None:
        """Pass on what is below rows of an old node: as it is where it begins and ends at a border, else its rows."""
        height = node.height
        if not height:
            self._pass_on(node, first, end)
            return
        while first < end and any(growing.keys for growing in self._growing[:height]):
            below = self._nodes.read(node.values[first])
            self._keep(below, 0, len(below.keys))
            first += 1
        if first < end == len(node.keys) and border(node.keys[-1]) < height:  # the end of the whole tree
            self._pass_on(node, first, end - 1)
            below = self._nodes.read(node.values[-1])
            self._keep(below, 0, len(below.keys))
        else:
            self._pass_on(node, first, end)

    def _pass_on(self, node: Node, first: int, end: int) -> None:
        if first == end:
            return
        growing = self._level(node.height)
        growing.keys.extend(node.keys[first:end])
        growing.values.extend(node.values[first:end])
        growing.mtimes.extend(node.mtimes[first:end])
        if end == len(node.keys) and border(node.keys[-1]) > node.height:
            self._end_node(node.height)

    def _add(self, height: int, key: bytes, value: bytes, mtime: int | None = None) -> None:
        growing = self._level(height)
        growing.keys.append(key)
        growing.values.append(value)
        if mtime is not None:
            growing.mtimes.append(mtime)
        if border(key) > height:
            self._end_node(height)

    def _level(self, height: int) -> Node:
        while len(self._growing) <= height:
            self._growing.append(Node(len(self._growing), [], [], []))
        return self._growing[height]

    def _end_node(self, height: int) -> None:
        node, self._growing[height] = self._growing[height], Node(height, [], [], [])
        self._add(height + 1, node.keys[-1], self._nodes.write(node))

    def finish(self) -> bytes | None:
        """End every open node; the root's id, or None where nothing is left."""
        height = 0
        while height < len(self._growing):
            node = self._growing[height]
            if height and len(node.keys) == 1 and not any(above.keys for above in self._growing[height + 1 :]):
                return self._lowest(node.values[0])
            if node.keys:
                self._end_node(height)
            height += 1
        return None

    def _lowest(self, identity: bytes) -> bytes:
        """Without nodes at the top that have one node below: they say nothing."""
        node = self._nodes.read(identity)
        while node.height and len(node.keys) == 1:
            identity = node.values[0]
            node = self._nodes.read(identity)
        return identity
