import pytest

from slipway.connections import LedgerConnection
from slipway.errors import UnavailableError
from slipway.ledger.statements import Ledger, Statement

STATEMENT = Statement(
    fingerprint="a" * 64,
    stage="features",
    pipeline="flight_delay",
    subject="2013-01-01",
    inputs={"raw/flights": "1"},
    outputs={"features": "2"},
    details={"commit": "c", "rows": 3},
)


@pytest.fixture
def ledger(tmp_path):
    return Ledger(LedgerConnection(f"sqlite:///{tmp_path}/ledger.db"))


def test_a_recorded_statement_is_found_by_its_fingerprint(ledger):
    ledger.record(STATEMENT)
    assert ledger.find("a" * 64) == STATEMENT


def test_recording_the_same_statement_again_changes_nothing(ledger):
    ledger.record(STATEMENT)
    ledger.record(STATEMENT)
    assert ledger.statements("flight_delay", "features") == [STATEMENT]


def test_an_unknown_fingerprint_finds_nothing(ledger):
    assert ledger.find("b" * 64) is None


def test_a_database_that_does_not_answer_is_an_unavailable_service_and_shows_no_password():
    ledger = Ledger(LedgerConnection("postgresql+psycopg2://slipway:hunter2@127.0.0.1:1/ledger"))
    with pytest.raises(UnavailableError, match="slipway_ledger") as caught:
        ledger.find("a" * 64)
    assert "hunter2" not in str(caught.value)
    assert caught.value.retryable
