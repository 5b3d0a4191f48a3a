"""Rows of the ledger, read as the verified statements they are."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa
from securesystemslib.dsse import Envelope

from slipway.errors import EvidenceError
from slipway.ledger.envelope import from_json, verify
from slipway.ledger.rows import require_row
from slipway.ledger.schema import STATEMENT
from slipway.ledger.statement import Statement
from slipway.ledger.trust import Trust

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recorded:
    """A statement as the ledger has it."""

    id: int
    statement: Statement
    envelope: Envelope
    disputed: bool
    """Another statement has the same fingerprint and other outputs, and this one was not kept in a settlement."""


def verified(row: sa.RowMapping, trust: Trust) -> Recorded:
    """One row of ``slipway_statement``.

    Raises:
        EvidenceError: it does not verify, or says other than its envelope.
    """
    envelope = from_json(row["envelope"])
    statement = verify(envelope, trust)
    require_row({**row}, statement)
    return Recorded(row["id"], statement, envelope, row["disputed"])


def believed(rows: Iterable[sa.RowMapping], trust: Trust) -> list[Recorded]:
    """The rows that verify."""
    found = []
    for row in rows:
        try:
            found.append(verified(row, trust))
        except EvidenceError as error:
            _LOG.warning("row %s of %s counts for nothing: %s", row["id"], STATEMENT.name, error)
    return found
