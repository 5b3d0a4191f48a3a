"""Objects as files named by their SHA-256, durable before anyone hears of them."""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from slipway.embedded.lakefs_server.refusal import gone

_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Blob:
    """A stored object: hex SHA-256 (its address), hex MD5 (what clients see), size in bytes."""

    sha256: str
    md5: str
    size: int


def object_path(folder: Path, sha256: str) -> Path:
    """Where the object of that digest lies below a repository's folder."""
    return folder / "objects" / sha256[:2] / sha256


class BlobStore:
    """``folder/objects/ab/<sha256>`` and, while they arrive, ``folder/incoming/<random>``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._placing = threading.Lock()
        self._incoming = folder / "incoming"
        for path in (folder / "objects", self._incoming):
            path.mkdir(parents=True, exist_ok=True)
        for leftover in self._incoming.iterdir():  # of a process that was killed: never acknowledged
            leftover.unlink()

    def path(self, sha256: str) -> Path:
        """Where the object of that digest lies."""
        return object_path(self._folder, sha256)

    def claim(self, sha256: str) -> None:
        """Make an object young, so that what now refers to it is never without it.

        Whoever writes a reference calls this under the repository's write lock, which a collection holds while it
        deletes. 410 if the object has been collected.
        """
        now = time.time_ns()
        try:
            os.utime(self.path(sha256), ns=(now, now))
        except FileNotFoundError as error:
            raise gone(sha256) from error

    def place(self, incoming: Path, sha256: str) -> None:
        """Move a file to its address as a young object."""
        final = self.path(sha256)
        if not final.parent.exists():
            final.parent.mkdir(exist_ok=True)
            sync_folder(final.parent.parent)
        with self._placing:
            now = time.time_ns()
            os.utime(incoming, ns=(now, now))
            incoming.replace(final)
        sync_folder(final.parent)

    def files(self) -> Iterator[Path]:
        """Every object's file."""
        for folder in sorted((self._folder / "objects").iterdir()):
            yield from sorted(path for path in folder.iterdir() if _DIGEST.fullmatch(path.name))

    def remove_older(self, path: Path, cutoff_ns: int) -> int | None:
        """Delete an object's file unless it was placed or claimed since ``cutoff_ns``; its size in bytes if it went."""
        with self._placing:
            try:
                status = path.stat()
            except FileNotFoundError:
                return None
            if status.st_mtime_ns >= cutoff_ns:
                return None
            path.unlink()
            return status.st_size

    def receive(self) -> Incoming:
        """Begin an upload."""
        return Incoming(self._incoming / uuid.uuid4().hex, self)


class Incoming:
    """One upload: ``write`` pieces, then ``keep``; ``discard`` is always safe to call."""

    def __init__(self, path: Path, store: BlobStore) -> None:
        self._path = path
        self._store = store
        self._file = path.open("xb")
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._size = 0

    def write(self, piece: bytes) -> None:
        self._file.write(piece)
        self._sha256.update(piece)
        self._md5.update(piece)
        self._size += len(piece)

    def keep(self) -> Blob:
        """Move the upload to its address; on disk, with its directory entry, when this returns."""
        blob = Blob(self._sha256.hexdigest(), self._md5.hexdigest(), self._size)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._store.place(self._path, blob.sha256)
        return blob

    def discard(self) -> None:
        with suppress(OSError):  # closing writes what is buffered; a full disk refuses that once more
            self._file.close()
        self._path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make a folder's entries (creations, renames) durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
