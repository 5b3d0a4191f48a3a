"""What of a repository is in use: reachable from a branch, a tag, staging, or too young to be judged."""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import dataclass, field
from typing import Any

from slipway.embedded.lakefs_server.nodes import decode
from slipway.embedded.lakefs_server.refusal import RefusalError
from slipway.embedded.lakefs_server.trees import sha256_of

_SLACK_NS = 3600 * 1_000_000_000


@dataclass
class Marks:
    """Ids in use: commits (hex), nodes and objects (SHA-256 bytes).

    ``cutoff_ns`` is a time in unix nanoseconds: younger commits and uploads are in use whatever names them.
    """

    cutoff_ns: int
    commits: set[str] = field(default_factory=set)
    nodes: set[bytes] = field(default_factory=set)
    objects: set[bytes] = field(default_factory=set)
    _begun_ns: int = field(default_factory=time.time_ns)
    _newer_than: int = field(init=False)

    def __post_init__(self) -> None:
        self._newer_than = self.cutoff_ns

    def everything(self, connection: sqlite3.Connection) -> None:
        """Mark all that is in use in the state ``connection`` sees."""
        self.commits_in_use(connection)
        for (entry,) in connection.execute("SELECT entry FROM staging WHERE entry IS NOT NULL"):
            self.objects.add(sha256_of(entry))
        young = connection.execute("SELECT sha256 FROM uploads WHERE created >= ?", (self.cutoff_seconds,))
        self.objects.update(bytes.fromhex(row[0]) for row in young)

    @property
    def cutoff_seconds(self) -> int:
        """In whole seconds, as ``uploads`` have it; of the second that is under way none is old."""
        return self.cutoff_ns // 1_000_000_000

    def commits_in_use(self, connection: sqlite3.Connection) -> None:
        """Mark the commits of branches and tags and the young ones, with their ancestors and all they hold.

        What is marked already is not walked again: a second call costs what came since the first.
        """
        query = (
            "SELECT commit_id FROM branches UNION ALL SELECT commit_id FROM tags"
            " UNION ALL SELECT id FROM commits WHERE created_ns >= ?"
        )
        waiting = [row[0] for row in connection.execute(query, (self._newer_than,)) if row[0] not in self.commits]
        # an hour, should the clock be set back meanwhile
        self._newer_than = max(self.cutoff_ns, self._begun_ns - _SLACK_NS)
        while waiting:
            commit = waiting.pop()
            if commit not in self.commits:
                tree, record = _row(connection, "SELECT tree, record FROM commits WHERE id = ?", commit)
                self.commits.add(commit)
                self._tree(connection, tree)
                waiting += json.loads(record)["parents"]

    def _tree(self, connection: sqlite3.Connection, root: bytes) -> None:
        waiting = [root]
        while waiting:
            identity = waiting.pop()
            if identity in self.nodes:
                continue
            (data,) = _row(connection, "SELECT data FROM nodes WHERE id = ?", identity)
            node = decode(data)
            self.nodes.add(identity)
            if node.height:
                waiting += node.values
            else:
                self.objects.update(map(sha256_of, node.values))


def _row(connection: sqlite3.Connection, query: str, key: str | bytes) -> tuple[Any, ...]:
    row: tuple[Any, ...] | None = connection.execute(query, (key,)).fetchone()
    if row is None:
        name = key if isinstance(key, str) else key.hex()
        raise RefusalError(500, f"{name} is missing: nothing more is collected here; run `slipway lake fsck`")
    return row
