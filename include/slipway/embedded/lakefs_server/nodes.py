"""Nodes of the trees: small sorted runs, stored by their content in the repository's database.

A tree is a prolly tree (a B-tree whose borders follow from its keys): a hash of a path alone decides on how many
levels a node ends after it, on average after 64 rows. So equal content has equal nodes whatever the way there, and a
change touches only the nodes on its path. (Chunking as in lakeFS's ranges and Dolt's prolly trees.)
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections import OrderedDict

import msgspec

_BITS = 6
"""A node has 2^6 rows on average."""
_CACHED_ROWS = 400_000
"""Rows kept in memory over all cached nodes, some tens of MB."""


class Node(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A run of rows in byte order of their keys.

    ``height`` 0: a leaf; keys are paths, values entries (``trees.Entry``), ``mtimes`` unix seconds. Above: keys are
    the last keys of the nodes below, values their ids, and there are no ``mtimes``.
    """

    height: int
    keys: list[bytes]
    values: list[bytes]
    mtimes: list[int]


_encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Node).decode
"""The node of stored bytes; raises msgspec.DecodeError."""


def border(key: bytes) -> int:
    """How many levels of nodes end after ``key``; 1 for one key in 64, 2 for one in 4,096, and so on."""
    value = int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big")
    return ((value & -value).bit_length() - 1) // _BITS


def identity_of(node: Node) -> bytes:
    """The node's id: the SHA-256 of all but the times, which are no part of an entry's identity."""
    return hashlib.sha256(_encode((node.height, node.keys, node.values))).digest()


EMPTY = Node(0, [], [], [])


class NodeCache:
    """Decoded nodes by id, shared by the threads of a server; what is stored under an id never changes."""

    def __init__(self) -> None:
        self._nodes: OrderedDict[bytes, Node] = OrderedDict()
        self._rows = 0
        self._lock = threading.Lock()

    def get(self, identity: bytes) -> Node | None:
        with self._lock:
            if found := self._nodes.get(identity):
                self._nodes.move_to_end(identity)
            return found

    def put(self, identity: bytes, node: Node) -> None:
        with self._lock:
            if identity not in self._nodes:
                self._nodes[identity] = node
                self._rows += len(node.keys)
            while self._rows > _CACHED_ROWS and len(self._nodes) > 1:
                self._rows -= len(self._nodes.popitem(last=False)[1].keys)


class Nodes:
    """The nodes one database connection sees."""

    def __init__(self, connection: sqlite3.Connection, cache: NodeCache) -> None:
        self._connection = connection
        self._cache = cache

    def read(self, identity: bytes) -> Node:
        """The node of that id."""
        if (cached := self._cache.get(identity)) is not None:
            return cached
        row = self._connection.execute("SELECT data FROM nodes WHERE id = ?", (identity,)).fetchone()
        node = decode(row[0])
        self._cache.put(identity, node)
        return node

    def write(self, node: Node) -> bytes:
        """Store a node; its id."""
        identity = identity_of(node)
        # Always, cached or not: the transaction that wrote what the cache holds may have been rolled back.
        self._connection.execute("INSERT OR IGNORE INTO nodes VALUES (?, ?)", (identity, _encode(node)))
        return identity
