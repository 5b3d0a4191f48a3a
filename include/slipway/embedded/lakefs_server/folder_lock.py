"""One process at a time on a data folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slipway.errors import ConfigurationError

_NAME = "lock"


@contextmanager
def held(data: Path, *, create: bool) -> Iterator[None]:
    """Hold ``data`` until the block or the process ends, however it ends.

    Without ``create`` the folder must have been a server's before, and may be read-only. Raises ConfigurationError
    if it was not, or another process holds it.
    """
    try:
        descriptor = _opened(data, create)
    except OSError as error:
        raise ConfigurationError(f"expected a lake's data folder that can be used at {data}: {error}") from error
    try:
        _take(descriptor, data)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, data: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ConfigurationError(f"another server uses {data}; stop it (`make down`) or name another folder") from error


def _opened(data: Path, create: bool) -> int:
    if not create:
        return os.open(data / _NAME, os.O_RDONLY | os.O_CLOEXEC)
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    return os.open(data / _NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
