"""One holder of a name at a time, across processes and machines; the lock dies with its holder.

With a PostgreSQL ledger it is an advisory lock of one transaction (PostgreSQL frees it when the connection ends, also
by a kill, and waiters get it in the order they came). Otherwise it is a locked file (the kernel frees it), which
covers the processes of one machine.
"""

from __future__ import annotations

import fcntl
import re
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from slipway.connections import LedgerConnection
from slipway.errors import UnavailableError

WAIT_SECONDS = 120.0
_POLL_SECONDS = 0.05
_NOT_IN_A_FILE = re.compile(r"[^A-Za-z0-9._-]+")


def exclusive(
    key: str, ledger: LedgerConnection | None, folder: Path, wait_seconds: float = WAIT_SECONDS
) -> AbstractContextManager[None]:
    """Hold the lock named ``key``; ``folder`` is where its file is made when the ledger has no advisory locks.

    Raises:
        UnavailableError: others kept it for ``wait_seconds``, or PostgreSQL cannot be reached.
    """
    if ledger is not None and ledger.url.startswith("postgresql"):
        return advisory_lock(key, ledger, wait_seconds)
    return file_lock(key, folder, wait_seconds)


@contextmanager
def advisory_lock(key: str, ledger: LedgerConnection, wait_seconds: float = WAIT_SECONDS) -> Iterator[None]:
    """Hold a PostgreSQL advisory lock; see ``exclusive``."""
    # Training pods read the registry, and their image holds no SQLAlchemy.
    import sqlalchemy as sa

    from slipway.ledger.database import database

    found = database(ledger)
    with found.transaction() as connection:
        # What is done under the lock may take longer than a server lets a transaction be idle.
        connection.execute(sa.text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        connection.execute(sa.text(f"SET LOCAL lock_timeout = {max(1, int(wait_seconds * 1000))}"))
        try:
            found.hold(connection, key)
        except sa.exc.OperationalError as error:
            raise UnavailableError(_kept(f"{key!r} of the ledger's PostgreSQL", wait_seconds)) from error
        yield


@contextmanager
def file_lock(key: str, folder: Path, wait_seconds: float = WAIT_SECONDS) -> Iterator[None]:
    """Hold a lock on a file of ``folder``; see ``exclusive``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{_NOT_IN_A_FILE.sub('-', key)}.lock"
    deadline = time.monotonic() + wait_seconds
    with path.open("w") as stream:
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise UnavailableError(_kept(str(path), wait_seconds)) from error
                time.sleep(_POLL_SECONDS)
        yield


def _kept(lock: str, wait_seconds: float) -> str:
    return (
        f"expected the lock {lock} within {wait_seconds:g} s, but others hold it; try again, and look for a run that "
        "hangs if that does not help"
    )
