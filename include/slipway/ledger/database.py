"""The ledger's database: its tables are made when it is first used, and its errors are Slipway's."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from slipway.connections import LedgerConnection
from slipway.errors import ConfigurationError, UnavailableError
from slipway.ledger.schema import METADATA

Insert = postgresql.Insert | sqlite.Insert
_NAMES = [f'{table}."{column.name}"' for table in METADATA.sorted_tables for column in table.columns]
_EVERY_COLUMN = sa.select(sa.text(", ".join(_NAMES))).select_from(sa.text(", ".join(METADATA.tables))).limit(0)
"""Of no row: fails exactly where a table or a column is missing."""


class Database:
    """One database; make one per process and share it between threads.

    Every transaction raises ``UnavailableError`` when the database does not answer, and ``ConfigurationError`` when
    its tables are an older version's; nothing was written then.
    """

    def __init__(self, url: str) -> None:
        self.engine = sa.create_engine(url, pool_pre_ping=True)
        self._prepared = False
        self._preparing = threading.Lock()

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """A transaction, committed at its end unless an exception leaves it."""
        try:
            self._prepare()
            with self.engine.begin() as connection:
                yield connection
        except (sa.exc.OperationalError, sa.exc.InterfaceError) as error:
            raise UnavailableError(
                f"expected the ledger's database at {self.engine.url!r}, but it does not answer: {error.orig}; "
                "start it (`make up`) or correct the connection slipway_ledger"
            ) from error

    def insert(self, table: sa.Table) -> Insert:
        """An insertion that may say what shall happen when the row is there."""
        return postgresql.insert(table) if self.engine.dialect.name == "postgresql" else sqlite.insert(table)

    def hold(self, connection: sa.Connection, name: str) -> None:
        """Let nobody else hold ``name`` until the transaction ends; SQLite has one writer anyway."""
        if self.engine.dialect.name == "postgresql":
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": name})

    def _prepare(self) -> None:
        with self._preparing:
            if self._prepared:
                return
            if not self._complete():
                with self.engine.begin() as connection:
                    self._make_tables(connection)
            self._prepared = True

    def _complete(self) -> bool:
        # Every task is a process of its own, and reading the catalogue would be the dearest question of most of them.
        with self.engine.connect() as connection:
            try:
                connection.execute(_EVERY_COLUMN)
            except sa.exc.DBAPIError:
                return False
        return True

    def _make_tables(self, connection: sa.Connection) -> None:
        # Parallel first uses would race in CREATE TABLE IF NOT EXISTS.
        self.hold(connection, "slipway.ledger.schema")
        METADATA.create_all(connection)
        if missing := _missing_columns(connection):
            raise ConfigurationError(
                f"expected the ledger's database at {self.engine.url!r} to be this version's, but it was made by an "
                f"older one and lacks {', '.join(missing)}; name another database in the connection slipway_ledger, "
                "or give up what is recorded: `make clean` locally, elsewhere drop the slipway_ tables"
            )


def _missing_columns(connection: sa.Connection) -> list[str]:
    found = sa.inspect(connection).get_multi_columns(filter_names=list(METADATA.tables))
    stands = {f"{table}.{column['name']}" for (_, table), columns in found.items() for column in columns}
    wanted = {f"{table.name}.{column.name}" for table in METADATA.sorted_tables for column in table.columns}
    return sorted(wanted - stands)


@lru_cache(maxsize=8)
def database(connection: LedgerConnection) -> Database:
    """This process's database of a connection."""
    return Database(connection.url)
