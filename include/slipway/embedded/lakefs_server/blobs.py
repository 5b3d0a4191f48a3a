"""Objects as files named by their SHA-256, durable before anyone hears of them."""

from __future__ import annotations

import hashlib
import os
import uuid
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Blob:
    """A stored object: hex SHA-256 (its address), hex MD5 (what clients see), size in bytes."""

    sha256: str
    md5: str
    size: int


class BlobStore:
    """``folder/objects/ab/<sha256>`` and, while they arrive, ``folder/incoming/<random>``."""

    def __init__(self, folder: Path) -> None:
        self._objects = folder / "objects"
        self._incoming = folder / "incoming"
        for path in (self._objects, self._incoming):
            path.mkdir(parents=True, exist_ok=True)
        for leftover in self._incoming.iterdir():  # of a process that was killed: never acknowledged
            leftover.unlink()

    def path(self, sha256: str) -> Path:
        """Where the object of that digest lies."""
        return self._objects / sha256[:2] / sha256

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
        final = self._store.path(blob.sha256)
        if not final.parent.exists():
            final.parent.mkdir(exist_ok=True)
            sync_folder(final.parent.parent)
        self._path.replace(final)
        sync_folder(final.parent)
        return blob

    def discard(self) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make a folder's entries (creations, renames) durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
