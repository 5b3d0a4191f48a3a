"""A repository on disk, and the folder of all repositories."""

from __future__ import annotations

import shutil
import sqlite3
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from slipway.embedded.lakefs_server import history
from slipway.embedded.lakefs_server.blobs import BlobStore, sync_folder
from slipway.embedded.lakefs_server.database import Database
from slipway.embedded.lakefs_server.names import check_branch, check_namespace, check_repository
from slipway.embedded.lakefs_server.nodes import EMPTY, NodeCache
from slipway.embedded.lakefs_server.refusal import missing, taken
from slipway.embedded.lakefs_server.trees import NO_ENTRIES, Trees


@dataclass(frozen=True)
class Repository:
    """An open repository; ``created`` in unix seconds."""

    id: str
    namespace: str
    default_branch: str
    created: int
    database: Database
    blobs: BlobStore
    cache: NodeCache = field(default_factory=NodeCache)

    @classmethod
    def open(cls, folder: Path) -> Repository:
        """Open the repository in ``folder``."""
        database = Database(folder / "meta.db")
        with database.reading() as connection:
            row = connection.execute("SELECT id, namespace, default_branch, created FROM repository").fetchone()
        name, namespace, default_branch, created = row
        return cls(name, namespace, default_branch, created, database, BlobStore(folder))

    def trees(self, connection: sqlite3.Connection) -> Trees:
        """The trees of the commits, as one of this repository's database connections sees them."""
        return Trees(connection, self.cache)

    @classmethod
    def initialise(
        cls, folder: Path, name: str, namespace: str, default_branch: str, committer: str = history.COMMITTER
    ) -> None:
        """Write a new repository, with its first commit, into ``folder``."""
        database = Database(folder / "meta.db")
        with database.writing() as connection:
            values = (name, namespace, default_branch, int(time.time()))
            connection.execute("INSERT INTO repository VALUES (?, ?, ?, ?)", values)
            Trees(connection, NodeCache()).nodes.write(EMPTY)
            first = history.record(connection, NO_ENTRIES, [], "Repository created", {}, committer=committer)
            connection.execute("INSERT INTO branches VALUES (?, ?, 0)", (default_branch, first.id))
        database.close()
        BlobStore(folder)


class Catalog:
    """All repositories under ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "repositories"
        self._unfinished = folder / "unfinished"
        self._lock = threading.Lock()
        if self._unfinished.exists():
            shutil.rmtree(self._unfinished)
        for path in (self._folder, self._unfinished):
            path.mkdir(parents=True, exist_ok=True)
        self._open = {path.name: Repository.open(path) for path in sorted(self._folder.iterdir())}

    def close(self) -> None:
        """Close every repository; the folder can then be opened by another process."""
        for repository in self._open.values():
            repository.database.close()

    def get(self, name: str) -> Repository:
        """The repository of that name; 404 if there is none."""
        found = self._open.get(name)
        if found is None:
            raise missing("repository", name)
        return found

    def all(self) -> list[Repository]:
        """Every repository, by name."""
        return [repository for _, repository in sorted(self._open.items())]

    def create(self, name: str, namespace: str, default_branch: str, committer: str = history.COMMITTER) -> Repository:
        """Create a repository; 409 if the name is in use. It appears whole or not at all."""
        check_repository(name)
        check_namespace(namespace)
        check_branch(default_branch)
        with self._lock:
            if name in self._open:
                raise taken("repository", name)
            draft = self._unfinished / uuid.uuid4().hex
            try:
                draft.mkdir()
                Repository.initialise(draft, name, namespace, default_branch, committer)
                sync_folder(draft)
                self._open[name] = self._place(draft, self._folder / name)
            except BaseException:
                shutil.rmtree(draft, ignore_errors=True)
                raise
            return self._open[name]

    def _place(self, draft: Path, final: Path) -> Repository:
        draft.rename(final)
        try:
            sync_folder(self._folder)
            return Repository.open(final)
        except BaseException:
            final.rename(draft)  # out of sight at once; deleting it takes longer
            raise

    def delete(self, name: str) -> None:
        """Delete a repository and its data; 404 if there is none."""
        with self._lock:
            repository = self.get(name)
            del self._open[name]
            grave = self._unfinished / uuid.uuid4().hex
            (self._folder / name).rename(grave)
            sync_folder(self._folder)
        repository.database.close()
        shutil.rmtree(grave)
