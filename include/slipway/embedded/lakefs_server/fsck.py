"""Check every repository of a data folder: nothing is written, nothing is mended."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from slipway.embedded.lakefs_server.blobs import object_path
from slipway.embedded.lakefs_server.database import VERSION
from slipway.embedded.lakefs_server.fsck_trees import TreeCheck
from slipway.embedded.lakefs_server.history import content_id
from slipway.embedded.lakefs_server.trees import Entry

Progress = Callable[[str, int, int], None]
"""(repository, nodes looked at, nodes stored)."""

RESTORE = "restore the repository's folder from a backup, or delete the repository and publish again"
UPLOAD = "upload the same bytes again under any path, or restore the file from a backup"
POINT = "delete it and make it again at a commit that exists"
REWRITE = "write the path again or reset it"


@dataclass(frozen=True)
class Finding:
    """Something wrong: where, ``what``, and what to do."""

    repository: str
    what: str
    todo: str


def check(data: Path, *, deep: bool, progress: Progress) -> Iterator[Finding]:
    """Yield what is wrong in every repository under ``data``, which no server may use meanwhile.

    ``deep`` reads every object and compares its SHA-256.
    """
    for folder in sorted((data / "repositories").iterdir()):
        yield from check_repository(folder, deep=deep, progress=progress)


def check_repository(folder: Path, *, deep: bool, progress: Progress) -> Iterator[Finding]:
    """Yield what is wrong with the repository in ``folder``; a database too broken to be read is one finding."""
    name = folder.name
    try:
        with closing(_opened(folder / "meta.db")) as connection:
            broken = [row[0] for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
            yield from (Finding(name, f"meta.db: {text}", RESTORE) for text in broken)
            if not broken:
                yield from _Check(name, connection, _Objects(folder, deep), progress).run()
    except sqlite3.Error as error:
        yield Finding(name, f"meta.db cannot be read: {error}", RESTORE)


def _opened(path: Path) -> sqlite3.Connection:
    log = path.with_name(path.name + "-wal")
    # without a log that is waiting to be played, nothing has to be written to read it, even on a read-only disk
    still = "" if log.exists() and log.stat().st_size else "&immutable=1"
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro{still}", uri=True)


@dataclass(frozen=True)
class _Objects:
    """The files of a repository's objects; each is looked at once."""

    folder: Path
    deep: bool
    _sizes: dict[bytes, int | str] = field(default_factory=dict)

    def wrong(self, sha256: str, size: int) -> str | None:
        """What is wrong with the file of an object that has ``size`` bytes."""
        key = bytes.fromhex(sha256)
        found = self._sizes.get(key)
        if found is None:
            found = self._sizes[key] = self._look(sha256)
        if isinstance(found, str):
            return found
        return None if found == size else f"object {sha256} has {found} bytes, expected {size}"

    def _look(self, sha256: str) -> int | str:
        path = object_path(self.folder, sha256)
        try:
            size = path.stat().st_size
            if self.deep:
                with path.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                return size if digest == sha256 else f"object {sha256} has other bytes: their SHA-256 is {digest}"
        except FileNotFoundError:
            return f"object {sha256} is missing"
        except OSError as error:
            return f"object {sha256} cannot be read: {error}"
        return size


@dataclass
class _Check:
    name: str
    connection: sqlite3.Connection
    objects: _Objects
    progress: Progress
    _visited: int = 0

    def run(self) -> Iterator[Finding]:
        (version,) = self.connection.execute("PRAGMA user_version").fetchone()
        if version != VERSION:
            what = f"meta.db has format {version}, expected {VERSION}"
            yield Finding(self.name, what, "check it with the version of Slipway that wrote it")
            return
        yield from self._identity()
        yield from self._references()
        yield from self._commits()
        yield from self._trees()
        yield from self._staging()
        yield from self._uploads()

    def _identity(self) -> Iterator[Finding]:
        rows = self.connection.execute("SELECT id, default_branch FROM repository").fetchall()
        if len(rows) != 1 or rows[0][0] != self.name:
            yield Finding(self.name, f"meta.db is of {rows}, expected one repository {self.name}", RESTORE)
        elif not self.connection.execute("SELECT 1 FROM branches WHERE name = ?", (rows[0][1],)).fetchone():
            yield Finding(self.name, f"the default branch {rows[0][1]} is missing", "create a branch of that name")

    def _references(self) -> Iterator[Finding]:
        for kind, table in (("branch", "branches"), ("tag", "tags")):
            query = f"SELECT name, commit_id FROM {table} WHERE commit_id NOT IN (SELECT id FROM commits)"  # noqa: S608
            for name, commit_id in self.connection.execute(query):
                yield Finding(self.name, f"{kind} {name} names the commit {commit_id}, which is missing", POINT)

    def _commits(self) -> Iterator[Finding]:
        generations = dict(self.connection.execute("SELECT id, generation FROM commits"))
        for commit_id, tree, text in self.connection.execute("SELECT id, tree, record FROM commits"):
            for wrong in _record_findings(commit_id, tree, text, generations):
                yield Finding(self.name, f"commit {commit_id}: {wrong}", RESTORE)

    def _trees(self) -> Iterator[Finding]:
        (stored,) = self.connection.execute("SELECT count(*) FROM nodes").fetchone()

        def visited() -> None:
            self._visited += 1
            self.progress(self.name, self._visited, stored)

        trees = TreeCheck(self.connection, self._entry, visited)
        # a commit's tree is most like the next one's: newest first finds what matters first
        roots = self.connection.execute("SELECT id, tree FROM commits ORDER BY created_ns DESC").fetchall()
        for commit_id, tree in roots:
            for wrong in trees.tree(tree):
                todo = UPLOAD if ": object " in wrong else RESTORE
                yield Finding(self.name, f"commit {commit_id}: {wrong}", todo)

    def _entry(self, path: bytes, data: bytes) -> str | None:
        try:
            entry = Entry.decode(data)
            canonical = entry.encode() == data
        except (msgspec.DecodeError, TypeError, ValueError, AttributeError) as error:
            return f"{_shown(path)}: its entry does not decode: {error}"
        if not canonical:
            return f"{_shown(path)}: its entry is not in canonical form"
        wrong = self.objects.wrong(entry.sha256, entry.size)
        return wrong and f"{_shown(path)}: {wrong}"

    def _staging(self) -> Iterator[Finding]:
        names = {row[0] for row in self.connection.execute("SELECT name FROM branches")}
        for branch, path, data in self.connection.execute("SELECT branch, path, entry FROM staging"):
            if branch not in names:
                what = f"uncommitted change of {_shown(path)} on the branch {branch}, which is missing"
                yield Finding(self.name, what, f"create the branch {branch} and reset it")
            elif data is not None and (wrong := self._entry(path, data)):
                yield Finding(self.name, f"uncommitted on {branch}: {wrong}", REWRITE)

    def _uploads(self) -> Iterator[Finding]:
        for upload, sha256, size in self.connection.execute("SELECT id, sha256, size FROM uploads"):
            wrong = self.objects.wrong(sha256, size)
            if wrong:
                yield Finding(self.name, f"upload {upload}, not linked yet: {wrong}", UPLOAD)


def _record_findings(commit_id: str, tree: bytes, text: str, generations: dict[str, int]) -> Iterator[str]:
    if hashlib.sha256(text.encode()).hexdigest() != commit_id:
        yield "its record is not what its id names"
        return
    fields = json.loads(text)
    if fields["meta_range_id"] != content_id(tree):
        yield f"its record is of another tree than {tree.hex()}"
    missing = [parent for parent in fields["parents"] if parent not in generations]
    yield from (f"its parent {parent} is missing" for parent in missing)
    expected = 1 + max((generations[parent] for parent in fields["parents"] if parent in generations), default=0)
    if not missing and generations[commit_id] != expected:
        yield f"its generation is {generations[commit_id]}, expected {expected}"


def _shown(path: bytes) -> str:
    return path.decode(errors="backslashreplace")
