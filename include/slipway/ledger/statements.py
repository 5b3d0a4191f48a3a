"""The ledger: which stage, with which fingerprint, turned which inputs into which outputs.

Statements are kept in one SQL table (PostgreSQL in the stack). A statement is written when its outputs are durable;
writing the same one again changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from slipway.connections import LedgerConnection
from slipway.errors import UnavailableError
from slipway.identity.canonical import canonical_json
from slipway.identity.digest import sha256_bytes

_METADATA = sa.MetaData()
_STATEMENTS = sa.Table(
    "statements",
    _METADATA,
    sa.Column("fingerprint", sa.String(64), primary_key=True),
    sa.Column("outputs_digest", sa.String(64), primary_key=True),
    sa.Column("stage", sa.String(64), nullable=False),
    sa.Column("pipeline", sa.String(64), nullable=False),
    sa.Column("subject", sa.String(128), nullable=False),
    sa.Column("inputs", sa.JSON, nullable=False),
    sa.Column("outputs", sa.JSON, nullable=False),
    sa.Column("details", sa.JSON, nullable=False),
    sa.Column("recorded", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
    sa.Index("statements_by_subject", "pipeline", "stage", "subject"),
)


@dataclass(frozen=True)
class Statement:
    """This stage, with this fingerprint, turned these inputs into these outputs."""

    fingerprint: str
    stage: str
    pipeline: str
    subject: str
    """What the stage was about: a partition, a model version, a release."""
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    details: Mapping[str, Any] = field(default_factory=dict)


class Ledger:
    """The statements of one database; the table is made when it is first used."""

    def __init__(self, connection: LedgerConnection) -> None:
        self.connection = connection
        self._engine = sa.create_engine(connection.url, pool_pre_ping=True)
        self._prepared = False

    def record(self, statement: Statement) -> None:
        """Write a statement; harmless when it is there already.

        Raises:
            UnavailableError: the database cannot be reached; nothing was written.
        """
        row = {
            "fingerprint": statement.fingerprint,
            "outputs_digest": sha256_bytes(canonical_json(dict(statement.outputs))),
            "stage": statement.stage,
            "pipeline": statement.pipeline,
            "subject": statement.subject,
            "inputs": dict(statement.inputs),
            "outputs": dict(statement.outputs),
            "details": dict(statement.details),
        }
        with self._transaction() as connection:
            try:
                with connection.begin_nested():
                    connection.execute(_STATEMENTS.insert().values(row))
            except sa.exc.IntegrityError:
                return

    def find(self, fingerprint: str) -> Statement | None:
        """The newest statement with that fingerprint, or ``None``."""
        query = (
            sa.select(_STATEMENTS)
            .where(_STATEMENTS.c.fingerprint == fingerprint)
            .order_by(_STATEMENTS.c.recorded.desc())
            .limit(1)
        )
        found = self._all(query)
        return found[0] if found else None

    def statements(self, pipeline: str, stage: str) -> list[Statement]:
        """Every statement of a pipeline's stage, ordered by subject, oldest first."""
        return self._all(
            sa.select(_STATEMENTS)
            .where(_STATEMENTS.c.pipeline == pipeline, _STATEMENTS.c.stage == stage)
            .order_by(_STATEMENTS.c.subject, _STATEMENTS.c.recorded)
        )

    def _all(self, query: sa.Select[Any]) -> list[Statement]:
        with self._transaction() as connection:
            rows = connection.execute(query).mappings().all()
        return [
            Statement(
                fingerprint=row["fingerprint"],
                stage=row["stage"],
                pipeline=row["pipeline"],
                subject=row["subject"],
                inputs=row["inputs"],
                outputs=row["outputs"],
                details=row["details"],
            )
            for row in rows
        ]

    def _transaction(self) -> _Transaction:
        return _Transaction(self._engine, self._prepare)

    def _prepare(self) -> None:
        if not self._prepared:
            with self._engine.begin() as connection:
                if connection.dialect.name == "postgresql":
                    # Parallel first uses would race in CREATE TABLE IF NOT EXISTS; the lock ends with the transaction.
                    connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext('slipway.ledger.schema'))"))
                _METADATA.create_all(connection)
            self._prepared = True


class _Transaction:
    """A transaction that says in Slipway's words when the database is away."""

    def __init__(self, engine: sa.Engine, prepare: Any) -> None:
        self._engine = engine
        self._prepare = prepare

    def __enter__(self) -> sa.Connection:
        try:
            self._prepare()
            self._context = self._engine.begin()
            return self._context.__enter__()
        except sa.exc.OperationalError as error:
            raise UnavailableError(
                f"expected the ledger's database at {self._engine.url!r}, but it does not answer: {error.orig}; "
                "start it (`make up`) or correct the connection slipway_ledger"
            ) from error

    def __exit__(self, *exception: Any) -> None:
        self._context.__exit__(*exception)
