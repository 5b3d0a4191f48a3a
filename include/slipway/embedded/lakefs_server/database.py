"""One SQLite file per repository: references, commit records, trees, staging, settings."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slipway.errors import ConfigurationError

VERSION = 3
"""Of the format; written into the file."""
SCHEMA = """
CREATE TABLE IF NOT EXISTS repository (id TEXT, namespace TEXT, default_branch TEXT, created INTEGER);
CREATE TABLE IF NOT EXISTS branches (name TEXT PRIMARY KEY, commit_id TEXT NOT NULL, hidden INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS tags (name TEXT PRIMARY KEY, commit_id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS commits (
    id TEXT PRIMARY KEY, tree BLOB NOT NULL, created_ns INTEGER NOT NULL, generation INTEGER NOT NULL,
    record TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS staging (  -- entry NULL: the path is deleted on this branch
    branch TEXT NOT NULL, path BLOB NOT NULL, entry BLOB, mtime INTEGER NOT NULL,
    PRIMARY KEY (branch, path)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS nodes (id BLOB PRIMARY KEY, data BLOB NOT NULL);  -- of the commits' trees, by content
CREATE TABLE IF NOT EXISTS uploads (
    id TEXT PRIMARY KEY, sha256 TEXT NOT NULL, md5 TEXT NOT NULL, size INTEGER NOT NULL,
    created INTEGER NOT NULL);  -- unix seconds
CREATE INDEX IF NOT EXISTS commits_by_age ON commits (created_ns, id);
CREATE TABLE IF NOT EXISTS runs (id TEXT PRIMARY KEY, record TEXT NOT NULL);  -- of webhooks
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
_FROM_2 = """
ALTER TABLE uploads ADD COLUMN created INTEGER NOT NULL DEFAULT 0;
UPDATE uploads SET created = strftime('%s', 'now');
"""


class Database:
    """Snapshot reads beside one writer at a time; a write is on disk when its block ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        with self._borrowed() as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version == VERSION:  # a full disk can still be read
                return
            fresh = connection.execute("SELECT 1 FROM sqlite_master").fetchone() is None
            if version != VERSION - 1 and not fresh:
                raise ConfigurationError(
                    f"{path} was written by another version of this server (format {version}, expected {VERSION}); "
                    "start from an empty folder: `make clean` deletes the local stack's"
                )
            change = "" if fresh else _FROM_2
            connection.executescript(f"BEGIN IMMEDIATE; {change} {SCHEMA} PRAGMA user_version = {VERSION}; COMMIT")

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A consistent snapshot; never waits for the writer."""
        with self._borrowed() as connection:
            connection.execute("BEGIN")
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """The repository's write lock and one transaction: all of it happens, or nothing. Not re-entrant."""
        with self._writer, self._borrowed() as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")

    def close(self) -> None:
        """Close idle connections; those in use close when they are given back to nobody."""
        while self._idle:
            self._idle.pop().close()

    @contextmanager
    def _borrowed(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._open()
        try:
            yield connection
        finally:
            self._give_back(connection)

    def _give_back(self, connection: sqlite3.Connection) -> None:
        """Undo what was not committed; a COMMIT that a full disk refused leaves its transaction open."""
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            connection.close()
        else:
            self._idle.append(connection)

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=30, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
        except sqlite3.Error:
            connection.close()
            raise
        return connection
