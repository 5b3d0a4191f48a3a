"""The ledger: signed statements in a SQL database, found by fingerprint, and linked to what they were made of.

A statement is written when its outputs are durable; writing the same one again changes nothing. What is read back is
verified: a row that somebody changed is no evidence.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from securesystemslib.dsse import Envelope
from securesystemslib.signer import Signer

from slipway.connections import LedgerConnection
from slipway.errors import ConfigurationError, DisputedError, EvidenceError
from slipway.ledger.database import database
from slipway.ledger.envelope import from_json, sign, verify
from slipway.ledger.keys import signer
from slipway.ledger.rows import related_rows, statement_row
from slipway.ledger.schema import LINK, OUTPUT, STATEMENT
from slipway.ledger.statement import Statement
from slipway.ledger.trust import Role, Trust, role_of

_CANDIDATES = 16
"""Statements a miss is compared with: the newest of its subject, then of its stage."""


@dataclass(frozen=True)
class Recorded:
    """A statement as the ledger has it."""

    id: int
    statement: Statement
    envelope: Envelope
    disputed: bool
    """Another statement has the same fingerprint and other outputs."""


class Ledger:
    """The statements of one database, signed with that connection's keys."""

    def __init__(self, connection: LedgerConnection) -> None:
        self.connection = connection
        self.database = database(connection)
        self._signers: dict[Role, Signer] = {}

    def trust(self) -> Trust:
        """Whose signatures are believed; read anew, since keys are added while processes run.

        Raises:
            ConfigurationError: the connection names no trust file, or it cannot be read.
        """
        if self.connection.keys is None:
            raise ConfigurationError("expected connection slipway_ledger to name a trust file in its extra `trust`")
        return Trust.load(Path(self.connection.keys.trust))

    def record(self, *statements: Statement) -> None:
        """Sign and write statements, makers before those who use what they made; harmless when they are there.

        Raises:
            DisputedError: a statement with the same fingerprint has other outputs; both are kept and marked.
            UnavailableError: the database cannot be reached; nothing was written.
        """
        signed = [(statement, sign(statement, self._signer(role_of(statement.stage)))) for statement in statements]
        disputed: list[Statement] = []
        with self.database.transaction() as connection:
            for fingerprint in sorted({statement.fingerprint for statement in statements}):
                self.database.hold(connection, fingerprint)
            for statement, envelope in signed:
                number = self._insert(connection, statement, envelope)
                if number is not None:
                    self._relate(connection, number, statement)
                if _mark_disputed(connection, statement.fingerprint):
                    disputed.append(statement)
        if disputed:
            raise DisputedError(_disputed_message(disputed))

    def require_agreement(self, statement: Statement) -> None:
        """Refuse what contradicts an earlier statement of its fingerprint; keeps both then, marked.

        Raises:
            DisputedError: as ``record`` does.
        """
        query = sa.select(STATEMENT.c.stable_digest).where(STATEMENT.c.fingerprint == statement.fingerprint)
        with self.database.transaction() as connection:
            stated = set(connection.execute(query).scalars())
        if stated - {statement.stable_digest}:
            self.record(statement)

    def find(self, fingerprint: str) -> Recorded | None:
        """The newest statement with that fingerprint, verified, or ``None``.

        Raises:
            EvidenceError: it does not verify.
        """
        found = self._read(
            sa.select(STATEMENT).where(STATEMENT.c.fingerprint == fingerprint).order_by(STATEMENT.c.id.desc()).limit(1)
        )
        return found[0] if found else None

    def near(self, pipeline: str, stage: str, subject: str) -> list[Statement]:
        """What a miss may be compared with: statements of that stage, those of the subject first, newest first."""
        same = sa.case((STATEMENT.c.subject == subject, 0), else_=1)
        query = (
            sa.select(STATEMENT)
            .where(STATEMENT.c.pipeline == pipeline, STATEMENT.c.stage == stage)
            .order_by(same, STATEMENT.c.id.desc())
            .limit(_CANDIDATES)
        )
        return [found.statement for found in self._read(query)]

    def statements(self, pipeline: str, stage: str, subject: str | None = None) -> list[Statement]:
        """Every statement of a pipeline's stage, or of one subject there, oldest first."""
        query = sa.select(STATEMENT).where(STATEMENT.c.pipeline == pipeline, STATEMENT.c.stage == stage)
        if subject is not None:
            query = query.where(STATEMENT.c.subject == subject)
        return [found.statement for found in self._read(query.order_by(STATEMENT.c.id))]

    def known(self, pipeline: str, stage: str, subjects: Collection[str]) -> set[str]:
        """Those subjects that some statement of the stage is about."""
        named = (STATEMENT.c.pipeline == pipeline, STATEMENT.c.stage == stage, STATEMENT.c.subject.in_(subjects))
        with self.database.transaction() as connection:
            return set(connection.execute(sa.select(STATEMENT.c.subject).where(*named).distinct()).scalars())

    def makers(self, pipeline: str, outputs: Mapping[str, str]) -> dict[str, Statement]:
        """Output name -> the newest statement that made it with that sha256; what nobody made is left out."""
        with self.database.transaction() as connection:
            found = _makers(connection, pipeline, outputs)
        statements = {one.id: one.statement for one in self._read(_by_id(found.values()))}
        return {name: statements[number] for name, number in found.items()}

    def chain(self, fingerprint: str) -> list[Recorded]:
        """The newest statement with a fingerprint and everything it was made of, makers last."""
        start = sa.select(sa.func.max(STATEMENT.c.id).label("id")).where(STATEMENT.c.fingerprint == fingerprint)
        reached = start.cte("reached", recursive=True)
        reached = reached.union(sa.select(LINK.c.parent).join(reached, LINK.c.child == reached.c.id))
        return self._read(
            sa.select(STATEMENT).where(STATEMENT.c.id.in_(sa.select(reached.c.id))).order_by(STATEMENT.c.id.desc())
        )

    def numbered(self, numbers: Iterable[int]) -> dict[int, Recorded]:
        """The rows with these numbers, verified.

        Raises:
            EvidenceError: one does not verify.
        """
        return {found.id: found for found in self._read(_by_id(numbers))}

    def _insert(self, connection: sa.Connection, statement: Statement, envelope: Envelope) -> int | None:
        row = statement_row(statement, envelope)
        written = self.database.insert(STATEMENT).values(row).on_conflict_do_nothing().returning(STATEMENT.c.id)
        number: int | None = connection.execute(written).scalar_one_or_none()
        return number

    def _relate(self, connection: sa.Connection, number: int, statement: Statement) -> None:
        found = set(_makers(connection, statement.pipeline, statement.materials).values()) - {number}
        stages = sa.select(STATEMENT.c.id, STATEMENT.c.stage).where(STATEMENT.c.id.in_(sorted(found)))
        makers = {row.id: row.stage for row in connection.execute(stages.order_by(STATEMENT.c.id))}
        for table, values in related_rows(number, statement, makers).items():
            if values:
                connection.execute(sa.insert(table), values)

    def _read(self, query: sa.Select[tuple[object, ...]]) -> list[Recorded]:
        with self.database.transaction() as connection:
            rows = connection.execute(query).mappings().all()
        if not rows:
            return []
        trust = self.trust()
        found = []
        for row in rows:
            envelope = from_json(row["envelope"])
            statement = verify(envelope, trust)
            if (statement.fingerprint, statement.outputs_digest) != (row["fingerprint"], row["outputs_digest"]):
                raise EvidenceError(
                    f"row {row['id']} of {STATEMENT.name} was changed: its envelope is not the one its row was "
                    "written with; restore the ledger's backup"
                )
            found.append(Recorded(row["id"], statement, envelope, row["disputed"]))
        return found

    def _signer(self, role: Role) -> Signer:
        if role not in self._signers:
            self._signers[role] = signer(self.connection.keys, role)
        return self._signers[role]


def _by_id(numbers: Iterable[int]) -> sa.Select[tuple[object, ...]]:
    return sa.select(STATEMENT).where(STATEMENT.c.id.in_(sorted(set(numbers))))


def _makers(connection: sa.Connection, pipeline: str, materials: Mapping[str, str]) -> dict[str, int]:
    """Material name -> the newest statement of the pipeline with that output."""
    query = (
        sa.select(OUTPUT)
        .join(STATEMENT, STATEMENT.c.id == OUTPUT.c.statement)
        .where(OUTPUT.c.sha256.in_(sorted(set(materials.values()))), STATEMENT.c.pipeline == pipeline)
        .order_by(OUTPUT.c.statement)
    )
    rows = connection.execute(query).mappings() if materials else ()
    return {row["name"]: row["statement"] for row in rows if materials.get(row["name"]) == row["sha256"]}


def _mark_disputed(connection: sa.Connection, fingerprint: str) -> bool:
    """Mark every statement of a fingerprint when their stable outputs differ; whether they do."""
    same = STATEMENT.c.fingerprint == fingerprint
    digests = sa.select(sa.func.count(sa.distinct(STATEMENT.c.stable_digest))).where(same)
    if connection.execute(digests).scalar_one() < 2:
        return False
    connection.execute(STATEMENT.update().where(same).values(disputed=True))
    return True


def _disputed_message(statements: list[Statement]) -> str:
    named = "; ".join(f"{one.stage} of {one.subject} (fingerprint {one.fingerprint[:12]})" for one in statements)
    return (
        f"expected equal fingerprints to give equal outputs, but {named} has others than before; both "
        "are kept and neither is reused: find what the fingerprint does not cover (a clock, a random number, a network)"
    )
