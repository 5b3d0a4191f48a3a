"""Commit records: their ids, the log, and the common ancestor of two."""

from __future__ import annotations

import hashlib
import heapq
import json
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from slipway.embedded.lakefs_server.refusal import missing

COMMITTER = "admin"
"""Who commits where nobody else is named: the user of the first access key pair."""


@dataclass(frozen=True)
class Commit:
    """One commit. ``created`` is unix seconds and part of the id; ``created_ns`` only orders the log."""

    id: str
    tree: bytes
    parents: tuple[str, ...]
    committer: str
    message: str
    metadata: Mapping[str, str]
    created: int
    created_ns: int
    generation: int

    @property
    def meta_range_id(self) -> str:
        """Hex SHA-256 that names the commit's whole content: equal content, equal id."""
        return content_id(self.tree)


def content_id(tree: bytes) -> str:
    """The public name of a tree (git's own ids stay inside)."""
    return hashlib.sha256(b"tree " + tree).hexdigest()


def record(
    connection: sqlite3.Connection,
    tree: bytes,
    parents: Sequence[Commit],
    message: str,
    metadata: Mapping[str, str],
    *,
    created: int | None = None,
    committer: str = COMMITTER,
) -> Commit:
    """Write a commit; its id is the SHA-256 of its fields in canonical form, ``created`` defaults to now."""
    now = max([time.time_ns(), *(parent.created_ns + 1 for parent in parents)])
    seconds = created if created is not None else now // 1_000_000_000
    fields = {
        "committer": committer,
        "created": seconds,
        "message": message,
        "meta_range_id": content_id(tree),
        "metadata": dict(metadata),
        "parents": [parent.id for parent in parents],
    }
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    commit_id = hashlib.sha256(text.encode()).hexdigest()
    generation = 1 + max((parent.generation for parent in parents), default=0)
    row = (commit_id, tree, now, generation, text)
    connection.execute("INSERT OR IGNORE INTO commits VALUES (?, ?, ?, ?, ?)", row)
    return load(connection, commit_id)


def load(connection: sqlite3.Connection, commit_id: str) -> Commit:
    """Read a commit by its full id; 404 if there is none."""
    row = connection.execute(
        "SELECT tree, created_ns, generation, record FROM commits WHERE id = ?", (commit_id,)
    ).fetchone()
    if row is None:
        raise missing("commit", commit_id)
    fields = json.loads(row[3])
    return Commit(
        id=commit_id,
        tree=row[0],
        parents=tuple(fields["parents"]),
        committer=fields["committer"],
        message=fields["message"],
        metadata=fields["metadata"],
        created=fields["created"],
        created_ns=row[1],
        generation=row[2],
    )


def log(connection: sqlite3.Connection, start: Commit, first_parent: bool = False) -> Iterator[Commit]:
    """Yield ``start`` and its ancestors, newest first; a parent never comes before its child."""
    seen = {start.id}
    waiting = [(-start.created_ns, start.id, start)]
    while waiting:
        commit = heapq.heappop(waiting)[2]
        yield commit
        for parent_id in commit.parents[:1] if first_parent else commit.parents:
            if parent_id not in seen:
                seen.add(parent_id)
                parent = load(connection, parent_id)
                heapq.heappush(waiting, (-parent.created_ns, parent.id, parent))


def merge_base(connection: sqlite3.Connection, one: Commit, other: Commit) -> Commit:
    """The common ancestor of the highest generation."""
    sides: dict[str, set[int]] = {}
    waiting: list[tuple[int, str, Commit]] = []

    def reach(commit: Commit, reached_by: set[int]) -> None:
        if commit.id not in sides:
            heapq.heappush(waiting, (-commit.generation, commit.id, commit))
        sides.setdefault(commit.id, set()).update(reached_by)

    reach(one, {0})
    reach(other, {1})
    while waiting:
        commit = heapq.heappop(waiting)[2]
        if len(sides[commit.id]) == 2:
            return commit
        for parent_id in commit.parents:
            reach(load(connection, parent_id), sides[commit.id])
    raise missing("common ancestor of", f"{one.id} and {other.id}")
