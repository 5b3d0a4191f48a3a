"""One registration of a model at a time, across processes and machines; the lock dies with its holder.

With a PostgreSQL ledger it is a session-level advisory lock (PostgreSQL frees it when the connection ends, also by a
kill). Otherwise it is a locked file (the kernel frees it), which covers the processes of one machine.
"""

from __future__ import annotations

import fcntl
import hashlib
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from slipway.connections import LedgerConnection
from slipway.errors import UnavailableError

WAIT_SECONDS = 120.0
_POLL_SECONDS = 0.05


def exclusive(key: str, ledger: LedgerConnection | None, folder: Path) -> AbstractContextManager[None]:
    """Hold the lock named ``key``; ``folder`` is where its file is made when the ledger has no advisory locks.

    Raises:
        UnavailableError: another holder kept it for ``WAIT_SECONDS``, or PostgreSQL cannot be reached.
    """
    if ledger is not None and ledger.url.startswith("postgresql"):
        return advisory_lock(key, ledger)
    return file_lock(key, folder)


@contextmanager
def advisory_lock(key: str, ledger: LedgerConnection, wait_seconds: float = WAIT_SECONDS) -> Iterator[None]:
    """Hold a PostgreSQL advisory lock; see ``exclusive``."""
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import OperationalError
    from sqlalchemy.pool import NullPool

    engine = create_engine(ledger.url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    try:
        connection: Any = engine.connect()
        connection.execute(text(f"SET lock_timeout = {int(wait_seconds * 1000)}"))
        connection.execute(text("SELECT pg_advisory_lock(:number)"), {"number": _number(key)})
    except OperationalError as error:
        raise UnavailableError(
            f"expected the lock {key!r} of the ledger's PostgreSQL within {wait_seconds:g} s, got: {error.orig}"
        ) from error
    # Closing the session frees the lock; NullPool really closes it.
    with connection:
        yield


@contextmanager
def file_lock(key: str, folder: Path, wait_seconds: float = WAIT_SECONDS) -> Iterator[None]:
    """Hold a lock on a file of ``folder``; see ``exclusive``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{key}.lock"
    deadline = time.monotonic() + wait_seconds
    with path.open("w") as stream:
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise UnavailableError(
                        f"expected the lock {path} within {wait_seconds:g} s, but another process holds it"
                    ) from error
                time.sleep(_POLL_SECONDS)
        yield


def _number(key: str) -> int:
    """A lock's name as the signed 64-bit number PostgreSQL asks for."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big", signed=True)
