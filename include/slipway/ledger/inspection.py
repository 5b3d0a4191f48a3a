"""What the ledger holds, for people who look: also what does not verify, with the reason, where stages would refuse it.

Nothing is concluded from a row whose ``problem`` is not ``None``; it is shown as what it claims to be, and as broken.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from securesystemslib.dsse import Envelope

from slipway.errors import EvidenceError
from slipway.ledger import bundle
from slipway.ledger.envelope import from_json, verify
from slipway.ledger.intoto import from_payload
from slipway.ledger.rows import moment, require_row
from slipway.ledger.schema import LINK, OUTPUT, RELEASE, STATEMENT
from slipway.ledger.statement import Statement
from slipway.ledger.store import Ledger
from slipway.ledger.trust import Trust

_CANDIDATES = 16
"""Earlier statements a statement is compared with: the newest of its subject, then of its stage."""
SHORTEST_PREFIX = 8
"""Characters of a fingerprint that are enough to find it."""


@dataclass(frozen=True)
class Seen:
    """One row as it is, believed or not."""

    id: int
    fingerprint: str
    pipeline: str
    stage: str
    subject: str
    finished: dt.datetime
    disputed: bool
    statement: Statement | None
    """What the envelope says; ``None`` when it says nothing that can be read."""
    envelope: Envelope | None
    problem: str | None
    """Why it proves nothing; ``None``: it was signed by a trusted key, and nobody changed it since."""

    @property
    def trouble(self) -> str | None:
        """Why nobody may rely on it."""
        if self.problem is not None:
            return self.problem or "it does not verify"
        return "another statement has the same fingerprint and other outputs" if self.disputed else None


@dataclass(frozen=True)
class Place:
    """Which statement made or used something, as the ledger's rows say."""

    pipeline: str
    fingerprint: str
    stage: str
    subject: str


class Inspection:
    """Reads one ledger. Every method raises UnavailableError when its database does not answer."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._database = ledger.database
        self._trust = ledger.trust()

    def claims(self, fingerprint: str) -> list[Seen]:
        """Every statement with that fingerprint, the newest first: several only where they contradict each other."""
        return self._see(sa.select(STATEMENT).where(STATEMENT.c.fingerprint == fingerprint))

    def begins(self, prefix: str) -> list[Place]:
        """The statements whose fingerprint begins so, two at most."""
        # As a range, which the index serves under every collation of hex digits.
        near = sa.and_(STATEMENT.c.fingerprint >= prefix, STATEMENT.c.fingerprint < f"{prefix}g")
        return self._places(sa.select(STATEMENT).where(near).order_by(STATEMENT.c.fingerprint).limit(2))

    def chain(self, fingerprint: str) -> list[Seen]:
        """The newest statement with a fingerprint and everything it was made of, makers last."""
        # After a dispute was settled, the one that counts.
        order = (STATEMENT.c.disputed, STATEMENT.c.id.desc())
        newest = sa.select(STATEMENT.c.id).where(STATEMENT.c.fingerprint == fingerprint).order_by(*order).limit(1)
        start = sa.select(newest.scalar_subquery().label("id"))
        reached = start.cte("reached", recursive=True)
        reached = reached.union(sa.select(LINK.c.parent).join(reached, LINK.c.child == reached.c.id))
        return self._see(sa.select(STATEMENT).where(STATEMENT.c.id.in_(sa.select(reached.c.id))))

    def flaw(self, chain: Sequence[Seen]) -> str | None:
        """Why a chain, its newest statement first, proves nothing, as ``slipway verify`` says; ``None``: it does."""
        for one in chain:
            if one.trouble:
                return f"{one.stage} of {one.subject} ({one.fingerprint[:12]}): {one.trouble}"
        try:
            bundle.check([one.envelope for one in chain if one.envelope], self._trust, chain[0].fingerprint)
        except EvidenceError as error:
            return str(error)
        return None

    def newest(self, pipeline: str, stage: str, most: int, before: int | None = None) -> list[Seen]:
        """The newest statements of a stage, newest first; those of rows below ``before``."""
        query = sa.select(STATEMENT).where(STATEMENT.c.pipeline == pipeline, STATEMENT.c.stage == stage)
        if before is not None:
            query = query.where(STATEMENT.c.id < before)
        return self._see(query, most)

    def completed(self, pipeline: str, most: int) -> list[Seen]:
        """The statements of the newest completed releases, newest first."""
        done = sa.and_(RELEASE.c.pipeline == pipeline, RELEASE.c.outcome == "completed")
        return self._see(sa.select(STATEMENT).join(RELEASE, RELEASE.c.statement == STATEMENT.c.id).where(done), most)

    def about(self, pipeline: str, stage: str, subjects: Collection[str]) -> list[Seen]:
        """Every statement of a stage about some subjects, newest first."""
        return self._see(
            sa.select(STATEMENT).where(
                STATEMENT.c.pipeline == pipeline, STATEMENT.c.stage == stage, STATEMENT.c.subject.in_(sorted(subjects))
            )
        )

    def earlier(self, seen: Seen) -> list[Statement]:
        """The verified statements of its stage that were there before it; of the same subject first, newest first."""
        same = sa.case((STATEMENT.c.subject == seen.subject, 0), else_=1)
        query = (
            sa.select(STATEMENT)
            .where(
                STATEMENT.c.pipeline == seen.pipeline, STATEMENT.c.stage == seen.stage, STATEMENT.c.id < seen.id,
                STATEMENT.c.fingerprint != seen.fingerprint,
            )
            .order_by(same)
        )  # fmt: skip
        return [one.statement for one in self._see(query, _CANDIDATES) if one.statement and one.problem is None]

    def makers(self, statement: Statement) -> dict[str, Place]:
        """Material name -> the newest statement that made it; what nobody is on record for is left out."""
        query = (
            sa.select(OUTPUT.c.name, OUTPUT.c.sha256, *_PLACE)
            .join(STATEMENT, STATEMENT.c.id == OUTPUT.c.statement)
            .where(
                OUTPUT.c.sha256.in_(sorted(set(statement.materials.values()))),
                STATEMENT.c.pipeline == statement.pipeline,
            )
            .order_by(OUTPUT.c.statement)
        )
        with self._database.transaction() as connection:
            rows = connection.execute(query).all()
        return {
            row.name: Place(row.pipeline, row.fingerprint, row.stage, row.subject)
            for row in rows
            if statement.materials.get(row.name) == row.sha256 and row.fingerprint != statement.fingerprint
        }

    def users(self, seen: Seen, most: int) -> tuple[list[Place], int]:
        """The newest ``most`` statements that were made of what it made, and how many there are."""
        used = sa.select(STATEMENT).join(LINK, LINK.c.child == STATEMENT.c.id).where(LINK.c.parent == seen.id)
        with self._database.transaction() as connection:
            count = connection.execute(sa.select(sa.func.count()).where(LINK.c.parent == seen.id)).scalar_one()
        return self._places(used.order_by(STATEMENT.c.id.desc()).limit(most)), count

    def _places(self, query: sa.Select[Any]) -> list[Place]:
        with self._database.transaction() as connection:
            rows = connection.execute(query).all()
        return [Place(row.pipeline, row.fingerprint, row.stage, row.subject) for row in rows]

    def _see(self, query: sa.Select[Any], most: int | None = None) -> list[Seen]:
        with self._database.transaction() as connection:
            rows = connection.execute(query.order_by(STATEMENT.c.id.desc()).limit(most)).all()
        return [_seen(row, self._trust) for row in rows]


_PLACE = (STATEMENT.c.pipeline, STATEMENT.c.fingerprint, STATEMENT.c.stage, STATEMENT.c.subject)


def _seen(row: Any, trust: Trust) -> Seen:
    envelope, statement, problem = None, None, None
    try:
        envelope = from_json(row.envelope)
        statement = verify(envelope, trust)
        require_row({**row._mapping}, statement)
    except EvidenceError as error:
        problem = str(error)
        statement = statement or _claimed(envelope)
    return Seen(
        id=row.id,
        fingerprint=row.fingerprint,
        pipeline=row.pipeline,
        stage=row.stage,
        subject=row.subject,
        finished=moment(row.finished),
        disputed=row.disputed,
        statement=statement,
        envelope=envelope,
        problem=problem,
    )


def _claimed(envelope: Envelope | None) -> Statement | None:
    """What an envelope that does not verify says, to be shown and not believed."""
    try:
        return from_payload(envelope.payload) if envelope else None
    except EvidenceError:
        return None
