"""Collect what nothing refers to any more: commits, nodes, upload records, objects.

Marking reads one snapshot and holds nobody up. Sweeping takes the repository's write lock for a batch at a time, and
under it first marks what came into use since (a branch made at an orphan commit, an equal node written again). No
object can come into use unseen: whatever writes an entry ``claim``s its file under the same lock, which makes it
young, or is refused if it has been collected. A kill leaves less to collect, never something half collected: a
commit goes before its parents, then its nodes, and objects go last.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from slipway.embedded.lakefs_server.gc_mark import Marks
from slipway.embedded.lakefs_server.repository import Repository
from slipway.embedded.lakefs_server.trees import NO_ENTRIES

BATCH = 100
"""Rows or files that go under one hold of the write lock, a few milliseconds."""
_PAUSE_S = 0.001
"""Between batches, so that waiting writers get the lock."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class Collected:
    """What went, or with ``dry_run`` would go; ``bytes`` of object files, the longest hold of the write lock in ms."""

    repository: str
    commits: int = 0
    nodes: int = 0
    uploads: int = 0
    objects: int = 0
    bytes: int = 0
    seconds: float = 0.0
    longest_hold_ms: float = 0.0

    def shown(self) -> dict[str, Any]:
        return asdict(self)


def collect(repository: Repository, cutoff_ns: int, *, dry_run: bool = False) -> Collected:
    """Collect what is unreferenced and older than ``cutoff_ns`` (unix nanoseconds, not in the future)."""
    begin = time.perf_counter()
    sweep = _Sweep(repository, Marks(min(cutoff_ns, time.time_ns())), dry_run)
    commits, nodes = sweep.mark()
    gone = sweep.commits(commits), sweep.nodes(nodes), sweep.uploads()
    objects, size = sweep.objects()
    seconds = round(time.perf_counter() - begin, 3)
    return Collected(repository.id, *gone, objects, size, seconds, round(sweep.longest_hold_s * 1000, 1))


class _Sweep:
    def __init__(self, repository: Repository, marks: Marks, dry_run: bool) -> None:
        self._repository = repository
        self._marks = marks
        self._dry_run = dry_run
        self.longest_hold_s = 0.0

    def mark(self) -> tuple[list[str], list[bytes]]:
        """The commits (children before parents) and nodes that one snapshot does not use."""
        with self._repository.database.reading() as connection:
            self._marks.everything(connection)
            # the youngest generation first: no commit that is still there ever misses a parent
            commits = connection.execute("SELECT id FROM commits ORDER BY generation DESC")
            unused = [row[0] for row in commits if row[0] not in self._marks.commits]
            nodes = connection.execute("SELECT id FROM nodes")
            # every repository keeps the tree without entries
            in_use = self._marks.nodes | {NO_ENTRIES}
            return unused, [row[0] for row in nodes if row[0] not in in_use]

    def commits(self, candidates: list[str]) -> int:
        return self._rows("DELETE FROM commits WHERE id = ?", candidates, self._marks.commits)

    def nodes(self, candidates: list[bytes]) -> int:
        return self._rows("DELETE FROM nodes WHERE id = ?", candidates, self._marks.nodes)

    def _rows(self, delete: str, candidates: Sequence[Item], in_use: set[Item]) -> int:
        if self._dry_run:
            return len(candidates)
        count = 0
        for batch in _batches(candidates):
            with self._locked() as connection:
                self._marks.commits_in_use(connection)
                gone = [(one,) for one in batch if one not in in_use]
                connection.executemany(delete, gone)
                count += len(gone)
        return count

    def uploads(self) -> int:
        """Records of uploads whose address has expired."""
        old = (self._marks.cutoff_seconds,)
        if self._dry_run:
            with self._repository.database.reading() as connection:
                (count,) = connection.execute("SELECT count(*) FROM uploads WHERE created < ?", old).fetchone()
            return int(count)
        delete = f"DELETE FROM uploads WHERE id IN (SELECT id FROM uploads WHERE created < ? LIMIT {BATCH})"  # noqa: S608
        count, gone = 0, BATCH
        while gone == BATCH:
            with self._locked() as connection:
                gone = connection.execute(delete, old).rowcount
            count += gone
        return count

    def objects(self) -> tuple[int, int]:
        """Files, and their bytes."""
        count = size = 0
        blobs, cutoff = self._repository.blobs, self._marks.cutoff_ns
        old = self._old_files()
        while batch := list(islice(old, BATCH)):
            if self._dry_run:
                sizes = [path.stat().st_size for path in batch]
            else:
                with self._locked():
                    sizes = [gone for path in batch if (gone := blobs.remove_older(path, cutoff)) is not None]
            count, size = count + len(sizes), size + sum(sizes)
        return count, size

    def _old_files(self) -> Iterator[Path]:
        for path in self._repository.blobs.files():
            unused = bytes.fromhex(path.name) not in self._marks.objects
            if unused and path.stat().st_mtime_ns < self._marks.cutoff_ns:
                yield path

    @contextmanager
    def _locked(self) -> Iterator[sqlite3.Connection]:
        time.sleep(_PAUSE_S)
        with self._repository.database.writing() as connection:
            begin = time.perf_counter()
            yield connection
        self.longest_hold_s = max(self.longest_hold_s, time.perf_counter() - begin)


def _batches(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    return (items[first : first + BATCH] for first in range(0, len(items), BATCH))
