"""Immutable trees of entries in a git object database.

An entry is a small blob that describes an object (digest, size, type, user metadata); its id is the entry's identity,
so equal content has equal ids and equal folders have equal tree ids. A tree's children are keyed in memory by path
segment: ``name/`` for a folder and ``name`` for an object, whose byte order is the order of full paths. On disk the
same two become ``+name`` (tree) and ``=name`` (blob), so that ``a`` and ``a/b`` can both exist and no segment is ever
a name git forbids. Ids are git's 20 raw bytes and never leave the server.
"""

from __future__ import annotations

import json
import re
import threading
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from itertools import groupby
from pathlib import Path

import pygit2
from pygit2.enums import ObjectType

_CHILD = re.compile(rb"(?:40000|100644) ([+=])([^\0]*)\0(.{20})", re.DOTALL)
_CACHED_CHILDREN = 400_000  # children kept in memory over all cached trees, some tens of MB
_CACHED_ENTRIES = 32_768
_COMPRESSION = 1

Change = tuple[Sequence[bytes], bytes | None]
"""A path's segments and the entry id to put there; None removes it."""


@dataclass(frozen=True)
class Entry:
    """What an object is: ``size`` in bytes, ``checksum`` the MD5 clients see, ``sha256`` the file's address."""

    sha256: str
    checksum: str
    size: int
    content_type: str
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Tree:
    """Children by segment; ``order`` holds the segments in byte order."""

    children: Mapping[bytes, bytes]
    order: Sequence[bytes]


_NOTHING = Tree({}, [])


def segments(path: bytes) -> list[bytes]:
    """Split ``b"a/b/c"`` into ``[b"a/", b"b/", b"c"]``."""
    *folders, name = path.split(b"/")
    return [folder + b"/" for folder in folders] + [name]


class TreeStore:
    """Reads and writes trees and entries; safe for threads, as nothing stored ever changes."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._database = pygit2.Odb()
        self._database.add_backend(pygit2.OdbBackendLoose(str(folder), _COMPRESSION, True), 1)
        self._cache: OrderedDict[bytes, Tree] = OrderedDict()
        self._cached = 0
        self._lock = threading.Lock()
        self.entry = lru_cache(_CACHED_ENTRIES)(self._read_entry)
        self.empty = self.write_tree({})

    def write_entry(self, entry: Entry) -> bytes:
        """Store ``entry``, on disk when this returns; its id."""
        data = json.dumps(asdict(entry), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        return bytes(self._database.write(ObjectType.BLOB, data).raw)

    def _read_entry(self, identity: bytes) -> Entry:
        return Entry(**json.loads(self._read(identity)))

    def _read(self, identity: bytes) -> bytes:
        return bytes(self._database.read(pygit2.Oid(raw=identity))[1])

    def write_tree(self, children: Mapping[bytes, bytes]) -> bytes:
        """Store a tree; its id."""
        rows = sorted(
            (b"+" + key, b"40000 +%b\0" % key[:-1], child)
            if key.endswith(b"/")
            else (b"=" + key, b"100644 =%b\0" % key, child)
            for key, child in children.items()
        )
        data = b"".join(head + child for _, head, child in rows)
        return bytes(self._database.write(ObjectType.TREE, data).raw)

    def tree(self, identity: bytes | None) -> Tree:
        """The tree of that id; None is a tree without children."""
        if identity is None:
            return _NOTHING
        with self._lock:
            if found := self._cache.get(identity):
                self._cache.move_to_end(identity)
                return found
        children = {
            (name + b"/" if mark == b"+" else name): child for mark, name, child in _CHILD.findall(self._read(identity))
        }
        tree = Tree(children, sorted(children))
        with self._lock:
            if identity not in self._cache:
                self._cache[identity] = tree
                self._cached += len(children)
            while self._cached > _CACHED_CHILDREN and len(self._cache) > 1:
                self._cached -= len(self._cache.popitem(last=False)[1].children)
        return tree

    def lookup(self, root: bytes, path: bytes) -> bytes | None:
        """The entry id at ``path``, or None."""
        current: bytes | None = root
        for segment in segments(path):
            if current is None:
                return None
            current = self.tree(current).children.get(segment)
        return current

    def apply(self, root: bytes, changes: Mapping[bytes, bytes | None]) -> bytes:
        """Return the tree with ``changes`` (path to entry id, None to remove); folders left empty vanish."""
        rows = sorted((segments(path), entry) for path, entry in changes.items())
        return self._apply(root, rows, 0) or self.empty

    def _apply(self, identity: bytes | None, rows: Sequence[Change], depth: int) -> bytes | None:
        children = dict(self.tree(identity).children)
        for key, group in groupby(rows, key=lambda row: row[0][depth]):
            below = list(group)
            child = self._apply(children.get(key), below, depth + 1) if key.endswith(b"/") else below[0][1]
            if child is None:
                children.pop(key, None)
            else:
                children[key] = child
        return self.write_tree(children) if children else None

    def walk(
        self, root: bytes | None, prefix: bytes = b"", start: bytes = b"", folder: bytes = b""
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield (path, entry id) in byte order for paths >= ``start`` that begin with ``prefix``.

        Folders outside that range are not read.
        """
        tree = self.tree(root)
        lowest = max(start, prefix)
        first = 0
        if lowest.startswith(folder):
            first = bisect_left(tree.order, segments(lowest[len(folder) :])[0])
        for key in tree.order[first:]:
            path = folder + key
            if not (path.startswith(prefix) or prefix.startswith(path)):
                if path > prefix:
                    return
                continue
            if key.endswith(b"/"):
                yield from self.walk(tree.children[key], prefix, start, path)
            elif path >= lowest and path.startswith(prefix):
                yield path, tree.children[key]
