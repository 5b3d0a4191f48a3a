"""Files that are either wholly there or not there, also after a kill or a power cut."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path


def write_durably(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Replace ``path`` by ``data`` in one step and flush it to disk: it survives a power cut.

    Raises:
        OSError: the folder is not writable or the disk is full; ``path`` is then as before.
    """
    write_whole(path, data, mode, flush=True)
    flush_folder(path.parent)


def write_whole(path: Path, data: bytes, mode: int = 0o644, *, flush: bool = False) -> None:
    """Replace ``path`` by ``data`` in one step: it survives a kill, and without ``flush`` perhaps no power cut.

    Raises:
        OSError: the folder is not writable or the disk is full; ``path`` is then as before.
    """
    draft = path.with_name(f".{path.name}.draft")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            if flush:
                file.flush()
                os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def flush_folder(folder: Path) -> None:
    """Make renames and deletions inside ``folder`` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_file(path: Path) -> None:
    """Make the bytes of ``path`` survive a power cut."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def file_digest(path: Path) -> str:
    """sha256 of a file as 64 hex characters."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
