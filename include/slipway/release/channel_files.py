"""Files of a channel on disk: atomic writes, and the lock that makes two releases take turns."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from slipway.errors import UnavailableError


class Files(Protocol):
    """A folder of small files. A write is all or nothing: a reader sees the old content or the new."""

    def read(self, path: str) -> bytes | None:
        """The content, ``None`` when there is no such file."""
        ...

    def write(self, path: str, content: bytes) -> None:
        """Create or replace the file, durably."""
        ...


class LocalFiles:
    """Files below one folder of this machine; folders are made as needed with ``folder_mode``."""

    def __init__(self, folder: Path, *, file_mode: int = 0o644, folder_mode: int = 0o755) -> None:
        self._folder = folder
        self._file_mode = file_mode
        self._folder_mode = folder_mode

    def read(self, path: str) -> bytes | None:
        try:
            return (self._folder / path).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, path: str, content: bytes) -> None:
        target = self._folder / path
        self._make_folder(target.parent)
        # mkstemp creates with 0600, so a private key is never readable by others, not even for a moment.
        descriptor, temporary = tempfile.mkstemp(prefix=".new-", dir=target.parent)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
                os.fchmod(stream.fileno(), self._file_mode)
                stream.flush()
                os.fsync(stream.fileno())
            Path(temporary).replace(target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        _sync_folder(target.parent)

    def _make_folder(self, folder: Path) -> None:
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True, mode=self._folder_mode)
            folder.chmod(self._folder_mode)


@contextmanager
def exclusive(lock: Path, timeout_seconds: float = 60.0) -> Iterator[None]:
    """Hold the lock file; the kernel frees it when the process dies, however it dies.

    Raises UnavailableError when another process holds it longer than ``timeout_seconds``.
    """
    lock.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + timeout_seconds
        while not _try_lock(descriptor):
            if time.monotonic() > deadline:
                raise UnavailableError(
                    f"{lock} is held by another process for more than {timeout_seconds:.0f} s; publishing takes "
                    f"milliseconds, so look for a stopped process (fuser {lock}) and try again"
                )
            time.sleep(0.01)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
