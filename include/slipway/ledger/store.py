"""The ledger: signed statements in a SQL database, found by fingerprint, and linked to what they were made of.

A statement is written when its outputs are durable; writing the same one again changes nothing. What is read back is
verified: a row that somebody changed is no evidence.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from securesystemslib.dsse import Envelope
from securesystemslib.signer import Signer

from slipway.connections import LedgerConnection
from slipway.errors import ConfigurationError, DisputedError, EvidenceError
from slipway.identity.digest import sha256_bytes
from slipway.ledger.database import database
from slipway.ledger.disputes import STAGE as SETTLE
from slipway.ledger.disputes import Standing, standing
from slipway.ledger.envelope import sign
from slipway.ledger.keys import signer
from slipway.ledger.recorded import Recorded, believed, verified
from slipway.ledger.rows import related_rows, statement_row
from slipway.ledger.schema import COMMIT, LINK, OUTPUT, RELEASE, STATEMENT, VERSION
from slipway.ledger.statement import Statement
from slipway.ledger.trust import Role, Trust, role_of

_LOG = logging.getLogger(__name__)
_CANDIDATES = 16
"""Statements a miss is compared with."""


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

        One that is there and does not verify (its key left the trust file, somebody changed its row) is replaced.

        Raises:
            DisputedError: a statement contradicts the one of its fingerprint that counts; both are kept and marked.
            UnavailableError: the database cannot be reached; nothing was written.
        """
        signed = [(statement, sign(statement, self._signer(role_of(statement.stage)))) for statement in statements]
        trust, refused = self.trust(), []
        with self.database.transaction() as connection:
            for fingerprint in sorted({_concerns(statement) for statement in statements}):
                self.database.hold(connection, fingerprint)
            for statement, envelope in signed:
                self._write(connection, statement, envelope, trust)
                found = _mark(connection, _concerns(statement), trust)
                if statement.stage != SETTLE and found.counts not in (None, statement.stable_digest):
                    refused.append(statement)
        if refused:
            raise DisputedError(_disputed_message(refused))

    def require_agreement(self, statement: Statement) -> None:
        """Refuse what contradicts the statement of its fingerprint that counts; keeps both then, marked.

        Raises:
            DisputedError: as ``record`` does.
        """
        trust = self.trust()
        with self.database.transaction() as connection:
            claims = believed(connection.execute(_of(statement.fingerprint)).mappings().all(), trust)
            found = _standing(connection, claims, trust)
        if found.counts not in (None, statement.stable_digest):
            self.record(statement)

    def claims(self, fingerprint: str) -> list[Recorded]:
        """The statements with that fingerprint that verify, oldest first: several where they contradict each other."""
        with self.database.transaction() as connection:
            rows = connection.execute(_of(fingerprint)).mappings().all()
        return believed(rows, self.trust()) if rows else []

    def find(self, fingerprint: str) -> Recorded | None:
        """The newest statement with that fingerprint that counts, verified, or ``None``.

        Whether it is disputed is asked of the signed statements; what the row says of it can be changed.

        Raises:
            EvidenceError: there is one, and none verifies.
        """
        with self.database.transaction() as connection:
            rows = connection.execute(_of(fingerprint)).mappings().all()
            if not rows:
                return None
            trust = self.trust()
            claims = believed(rows, trust) or [verified(rows[-1], trust)]
            found = _standing(connection, claims, trust)
        newest = ([one for one in claims if one.statement.stable_digest == found.counts] or claims)[-1]
        return replace(newest, disputed=found.refuses(newest.statement.stable_digest))

    def near(self, pipeline: str, stage: str, subject: str, *, across: bool = False) -> list[Statement]:
        """What a miss may be compared with: the newest statements of a stage and subject, newest first.

        ``across`` adds, after them, those of the stage's other subjects.

        What does not verify is left out: it proves nothing, and says nothing about the others.
        """
        same = STATEMENT.c.subject == subject
        query = (
            sa.select(STATEMENT)
            .where(STATEMENT.c.pipeline == pipeline, STATEMENT.c.stage == stage, *([] if across else [same]))
            .order_by(sa.case((same, 0), else_=1), STATEMENT.c.id.desc())
            .limit(_CANDIDATES)
        )
        with self.database.transaction() as connection:
            rows = connection.execute(query).mappings().all()
        return [found.statement for found in believed(rows, self.trust())] if rows else []

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

    def chain(self, fingerprint: str) -> list[Recorded]:
        """The newest statement with a fingerprint that counts and everything it was made of, makers last."""
        found = self.find(fingerprint)
        if found is None:
            return []
        reached = sa.select(STATEMENT.c.id).where(STATEMENT.c.id == found.id).cte("reached", recursive=True)
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

    def _write(self, connection: sa.Connection, statement: Statement, envelope: Envelope, trust: Trust) -> None:
        row = statement_row(statement, envelope)
        written = self.database.insert(STATEMENT).values(row).on_conflict_do_nothing().returning(STATEMENT.c.id)
        number: int | None = connection.execute(written).scalar_one_or_none()
        if number is None:
            number = _replace(connection, row, trust)
        if number is not None:
            self._relate(connection, number, statement)

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
        return [verified(row, trust) for row in rows]

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


def _concerns(statement: Statement) -> str:
    """The fingerprint whose standing a statement may change."""
    return statement.subject if statement.stage == SETTLE else statement.fingerprint


def _of(fingerprint: str) -> sa.Select[tuple[object, ...]]:
    return sa.select(STATEMENT).where(STATEMENT.c.fingerprint == fingerprint).order_by(STATEMENT.c.id)


def _standing(connection: sa.Connection, claims: list[Recorded], trust: Trust) -> Standing:
    """How the statements of one fingerprint, oldest first, stand to each other."""
    if not claims:
        return standing([], [])
    one = claims[0].statement
    columns = STATEMENT.c
    decided = (columns.pipeline == one.pipeline, columns.stage == SETTLE, columns.subject == one.fingerprint)
    rows = connection.execute(sa.select(STATEMENT).where(*decided).order_by(columns.id)).mappings()
    settlements = [found.statement for found in believed(rows, trust)]
    return standing([claim.statement for claim in claims], settlements)


def _mark(connection: sa.Connection, fingerprint: str, trust: Trust) -> Standing:
    """Mark, for people who look, which statements of a fingerprint are not reused."""
    claims = believed(connection.execute(_of(fingerprint)).mappings(), trust)
    found = _standing(connection, claims, trust)
    for claim in claims:
        refused = found.refuses(claim.statement.stable_digest)
        if claim.disputed != refused:
            connection.execute(STATEMENT.update().where(STATEMENT.c.id == claim.id).values(disputed=refused))
    return found


def _replace(connection: sa.Connection, row: dict[str, Any], trust: Trust) -> int | None:
    """Put ``row`` where one of its fingerprint and outputs does not verify; its number, or ``None`` when that does."""
    same = {name: STATEMENT.c[name] == row[name] for name in ("fingerprint", "outputs_digest")}
    stands = connection.execute(sa.select(STATEMENT).where(*same.values())).mappings().one()
    try:
        verified(stands, trust)
    except EvidenceError as error:
        number: int = stands["id"]
        gone = sha256_bytes(stands["envelope"].encode())
        _LOG.warning("row %s of %s is replaced, its envelope had sha256 %s: %s", number, STATEMENT.name, gone, error)
        connection.execute(STATEMENT.update().where(STATEMENT.c.id == number).values(row))
        for column in (OUTPUT.c.statement, LINK.c.child, COMMIT.c.statement, VERSION.c.statement, RELEASE.c.statement):
            connection.execute(sa.delete(column.table).where(column == number))
        return number
    return None


def _disputed_message(statements: list[Statement]) -> str:
    named = "; ".join(f"{one.stage} of {one.subject} (fingerprint {one.fingerprint[:12]})" for one in statements)
    return (
        f"expected equal fingerprints to give equal outputs, but {named} has others than before; both "
        "are kept and neither is reused: find what the fingerprint does not cover (a clock, a random number, a "
        "network), or say which is right: `slipway ledger settle FINGERPRINT`"
    )
