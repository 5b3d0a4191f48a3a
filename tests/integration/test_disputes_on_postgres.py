"""Disputes, replaced statements and older tables on the database the stack uses."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from slipway.connections import SigningKeys
from slipway.errors import ConfigurationError, DisputedError
from slipway.identity.digest import sha256_bytes
from slipway.ledger.database import Database
from slipway.ledger.disputes import settlement
from slipway.ledger.inspection import Inspection
from slipway.ledger.keys import ensure_keys
from slipway.ledger.schema import STATEMENT
from slipway.ledger.store import Ledger
from tests.integration.ledger import postgresql_ledger
from tests.simulators.ledger import execution, statement

RAW = statement("ingest", outputs={"raw": sha256_bytes(b"rows")})


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    keys = ensure_keys(SigningKeys.in_folder(tmp_path_factory.mktemp("keys")))
    with postgresql_ledger() as connection:
        yield Ledger(dataclasses.replace(connection, keys=keys))


def test_of_many_that_contradict_each_other_at_once_one_counts_and_can_be_kept(ledger):
    making = [statement(materials=RAW.outputs, outputs={"made": sha256_bytes(b"%d" % number)}) for number in range(6)]

    def refused(one) -> bool:
        try:
            ledger.record(one)
        except DisputedError:
            return True
        return False

    ledger.record(RAW)
    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(refused, making)) == len(making) - 1
    assert ledger.find(making[0].fingerprint).disputed
    kept = making[3]
    claims = [one.statement for one in ledger.claims(kept.fingerprint)]
    ledger.record(settlement(claims, kept.outputs_digest, "seen", execution()))
    found = ledger.find(kept.fingerprint)
    assert found.statement == kept and not found.disputed
    assert [one.statement for one in ledger.chain(kept.fingerprint)] == [kept, RAW]
    seen = Inspection(ledger)
    assert [one.statement for one in seen.chain(kept.fingerprint)] == [kept, RAW]
    assert sorted(one.disputed for one in seen.claims(kept.fingerprint)) == [False] + [True] * 5


def test_a_statement_somebody_changed_is_replaced(ledger):
    ledger.record(RAW, statement(subject="2013-01-02", materials=RAW.outputs))
    with ledger.database.transaction() as connection:
        which = STATEMENT.c.subject == "2013-01-02"
        connection.execute(STATEMENT.update().where(which).values(envelope="{}", subject="2013-01-03"))
    again = statement(subject="2013-01-02", materials=RAW.outputs, execution=execution("run-2"))
    ledger.record(again)
    assert [one.statement for one in ledger.chain(again.fingerprint)] == [again, RAW]


def test_tables_of_an_older_version_are_refused_with_what_they_lack(ledger):
    older, rename = Database(ledger.connection.url), "ALTER TABLE slipway_effect RENAME COLUMN {} TO {}"
    with older.engine.begin() as connection:
        connection.execute(sa.text(rename.format("outcome", "result")))
    try:
        with pytest.raises(ConfigurationError, match=r"lacks slipway_effect\.outcome;"), older.transaction():
            pass
    finally:
        with older.engine.begin() as connection:
            connection.execute(sa.text(rename.format("result", "outcome")))
