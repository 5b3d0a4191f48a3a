"""Uncommitted changes of a branch, and what a reference shows: its commit with those changes on top."""

from __future__ import annotations

import heapq
import json
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import groupby

from slipway.embedded.lakefs_server import references
from slipway.embedded.lakefs_server.compare import Difference
from slipway.embedded.lakefs_server.refusal import RefusalError, denied, missing
from slipway.embedded.lakefs_server.repository import Repository
from slipway.embedded.lakefs_server.trees import Entry, Trees

_PROTECTION = "branch_protection"
_DELETE_STAGED = "DELETE FROM staging WHERE branch = ?"


@dataclass(frozen=True)
class Stat:
    """One object under a reference; ``mtime`` in unix seconds."""

    path: bytes
    identity: bytes
    mtime: int

    @property
    def entry(self) -> Entry:
        return Entry.decode(self.identity)


@dataclass(frozen=True)
class View:
    """What a reference shows, within one database snapshot."""

    connection: sqlite3.Connection
    trees: Trees
    tree: bytes
    branch: str | None

    @classmethod
    def of(cls, repository: Repository, connection: sqlite3.Connection, expression: str) -> View:
        """Resolve ``expression``; a plain branch name includes its uncommitted changes."""
        found = references.resolve(connection, expression)
        return cls(connection, repository.trees(connection), found.commit.tree, found.branch)

    def stat(self, path: bytes) -> Stat:
        """The object at ``path``; 404 if there is none."""
        if self.branch is not None:
            key = (self.branch, path)
            row = self.connection.execute("SELECT entry, mtime FROM staging WHERE branch = ? AND path = ?", key)
            if (staged := row.fetchone()) is not None:
                if staged[0] is None:
                    raise missing("object", path.decode())
                return Stat(path, *staged)
        found = self.trees.lookup(self.tree, path)
        if found is None:
            raise missing("object", path.decode())
        return Stat(path, *found)

    def walk(self, prefix: bytes = b"", start: bytes = b"") -> Iterator[Stat]:
        """Objects in byte order whose path is >= ``start`` and begins with ``prefix``."""
        committed = ((path, 1, entry, mtime) for path, entry, mtime in self.trees.walk(self.tree, prefix, start))
        staged = ((path, 0, entry, mtime) for path, entry, mtime in self._staged(prefix, start))
        # of two rows with one path the staged one sorts first
        for path, rows in groupby(heapq.merge(staged, committed), key=lambda row: row[0]):
            _, _, entry, mtime = next(rows)
            if entry is not None:
                yield Stat(path, entry, mtime)

    def _staged(self, prefix: bytes, start: bytes) -> Iterator[tuple[bytes, bytes | None, int]]:
        if self.branch is None:
            return
        for row in staged_rows(self.connection, self.branch, max(prefix, start)):
            if not row[0].startswith(prefix):
                return
            yield row


def staged_rows(
    connection: sqlite3.Connection, branch: str, start: bytes = b""
) -> Iterator[tuple[bytes, bytes | None, int]]:
    """(path, entry id or None for a deletion, mtime) of a branch's uncommitted changes, in byte order."""
    query = "SELECT path, entry, mtime FROM staging WHERE branch = ? AND path >= ? ORDER BY path"
    yield from connection.execute(query, (branch, start))


def is_dirty(connection: sqlite3.Connection, branch: str) -> bool:
    """Whether the branch has uncommitted changes."""
    return connection.execute("SELECT 1 FROM staging WHERE branch = ? LIMIT 1", (branch,)).fetchone() is not None


def put(
    repository: Repository, branch: str, path: bytes, entry: Entry, *, only_new: bool = False, mtime: int | None = None
) -> Stat:
    """Stage an object, durable when this returns.

    An entry equal to the committed one leaves no uncommitted change. 403 on a protected branch, 404 without the
    branch, 410 if the object's data has been collected, 412 with ``only_new`` if the path holds an object.
    """
    identity = entry.encode()
    with repository.database.writing() as connection:
        require_writable(connection, branch)
        repository.blobs.claim(entry.sha256)
        view = View.of(repository, connection, branch)
        if only_new:
            _require_absent(view, path)
        stat = Stat(path, identity, int(time.time()) if mtime is None else mtime)
        if view.trees.identity(view.tree, path) == identity:
            connection.execute(_DELETE_STAGED + " AND path = ?", (branch, path))
            return view.stat(path)
        _stage(connection, branch, stat.path, identity, stat.mtime)
        return stat


def set_metadata(repository: Repository, branch: str, path: bytes, metadata: Mapping[str, str]) -> None:
    """Replace an object's user metadata; 403 on a protected branch, 404 without the branch or the object."""
    with repository.database.writing() as connection:
        require_writable(connection, branch)
        view = View.of(repository, connection, branch)
        found = view.stat(path)
        identity = replace(found.entry, metadata=metadata).encode()
        if view.trees.identity(view.tree, path) == identity:
            connection.execute(_DELETE_STAGED + " AND path = ?", (branch, path))
        else:
            _stage(connection, branch, path, identity, found.mtime)


def _require_absent(view: View, path: bytes) -> None:
    try:
        view.stat(path)
    except RefusalError:
        return
    raise RefusalError(412, f"path already exists: {path.decode()}")


def _stage(connection: sqlite3.Connection, branch: str, path: bytes, identity: bytes | None, mtime: int) -> None:
    connection.execute("INSERT OR REPLACE INTO staging VALUES (?, ?, ?, ?)", (branch, path, identity, mtime))


def remove(repository: Repository, branch: str, paths: Sequence[bytes]) -> None:
    """Stage deletions; an absent object is no error. 403 on a protected branch, 404 without the branch."""
    with repository.database.writing() as connection:
        require_writable(connection, branch)
        tree, trees = references.head(connection, branch).tree, repository.trees(connection)
        for path in paths:
            if trees.lookup(tree, path) is None:
                connection.execute(_DELETE_STAGED + " AND path = ?", (branch, path))
            else:
                _stage(connection, branch, path, None, int(time.time()))


def reset(repository: Repository, branch: str, prefix: bytes, exact: bool) -> None:
    """Drop uncommitted changes of one path (``exact``) or of every path that begins with ``prefix``."""
    with repository.database.writing() as connection:
        require_writable(connection, branch)
        condition = " AND path = ?" if exact else " AND substr(path, 1, ?) = ?"
        values = (prefix,) if exact else (len(prefix), prefix)
        connection.execute(_DELETE_STAGED + condition, (branch, *values))


def uncommitted(repository: Repository, connection: sqlite3.Connection, branch: str) -> Iterator[Difference]:
    """What the branch's staging changes against its head, in byte order."""
    tree, trees = references.head(connection, branch).tree, repository.trees(connection)
    for path, entry, mtime in staged_rows(connection, branch):
        yield Difference(path, trees.identity(tree, path), entry, mtime)


def protection(connection: sqlite3.Connection) -> list[str]:
    """The patterns (``*`` and ``?``) of protected branch names."""
    row = connection.execute("SELECT value FROM settings WHERE name = ?", (_PROTECTION,)).fetchone()
    return [] if row is None else [str(pattern) for pattern in json.loads(row[0])]


def protect(connection: sqlite3.Connection, patterns: Sequence[str]) -> None:
    """Replace the patterns of protected branch names."""
    values = (_PROTECTION, json.dumps(list(patterns)))
    connection.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", values)


def require_writable(connection: sqlite3.Connection, branch: str) -> None:
    """404 without the branch, 403 if it is protected: it changes through merges only."""
    if references.target(connection, "branch", branch) is None:
        raise missing("branch", branch)
    if any(fnmatchcase(branch, pattern.replace("[", "[[]")) for pattern in protection(connection)):
        raise denied(f"cannot write to protected branch {branch}; write to another branch and merge it")
