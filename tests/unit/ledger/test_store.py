"""The ledger: what is written once, found again, linked, and what it makes of statements that disagree."""

import dataclasses

import pytest
import sqlalchemy as sa

from slipway.connections import LedgerConnection
from slipway.errors import ConfigurationError, DisputedError, EvidenceError, UnavailableError
from slipway.identity.digest import sha256_bytes
from slipway.ledger.schema import STATEMENT
from slipway.ledger.store import Ledger
from tests.simulators.ledger import execution, ledger_at, ledger_connection, record_version, statement

OTHER = {"features/2013-01-01": sha256_bytes(b"something else")}


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    return ledger_at(tmp_path)


def test_a_recorded_statement_is_found_by_its_fingerprint(ledger):
    ledger.record(statement())
    found = ledger.find(statement().fingerprint)
    assert found is not None and found.statement == statement() and not found.disputed


def test_recording_the_same_outputs_again_keeps_who_made_them_first(ledger):
    ledger.record(statement())
    ledger.record(statement(execution=execution("run-2", seconds=60)))
    (kept,) = ledger.statements("shop", "features")
    assert kept.execution.run_id == "run-1"


def test_an_unknown_fingerprint_finds_nothing(ledger):
    assert ledger.find("b" * 64) is None


def test_equal_fingerprints_with_other_outputs_are_an_alarm_and_both_are_kept(ledger):
    ledger.record(statement())
    with pytest.raises(DisputedError, match=r"features of 2013-01-01 .*both are kept and neither is reused"):
        ledger.record(statement(outputs=OTHER))
    assert len(ledger.statements("shop", "features")) == 2
    assert ledger.find(statement().fingerprint).disputed


def test_outputs_that_may_vary_dispute_nothing(ledger):
    outputs = {"model.plan": sha256_bytes(b"1"), "report.json": sha256_bytes(b"2 ms")}
    ledger.record(statement(outputs=outputs, varying=["report.json"]))
    ledger.record(statement(outputs={**outputs, "report.json": sha256_bytes(b"3 ms")}, varying=["report.json"]))
    assert len(ledger.statements("shop", "features")) == 2
    assert not ledger.find(statement().fingerprint).disputed


def test_agreement_can_be_asked_for_before_anything_is_published(ledger):
    ledger.require_agreement(statement())
    assert ledger.statements("shop", "features") == []
    ledger.record(statement())
    ledger.require_agreement(statement(execution=execution("run-2")))
    with pytest.raises(DisputedError):
        ledger.require_agreement(statement(outputs=OTHER))
    assert ledger.find(statement().fingerprint).disputed


def test_a_chain_holds_everything_a_version_was_made_of_and_nothing_else(ledger):
    record_version(ledger, "shop", "1", {"model.onnx": sha256_bytes(b"1")})
    record_version(ledger, "shop", "2", {"model.onnx": sha256_bytes(b"2")})
    registered = ledger.statements("shop", "register", "2")[0]
    chain = [recorded.statement for recorded in ledger.chain(registered.fingerprint)]
    assert [(one.stage, one.subject) for one in chain] == [
        ("register", "2"),
        ("train", "2..2"),
        ("features", "2013-01-01"),
        ("ingest", "2013-01-01"),
    ]


def test_a_material_is_linked_to_its_own_pipelines_maker_alone(ledger):
    made = {"raw": sha256_bytes(b"rows")}
    ledger.record(statement("ingest", pipeline="other", outputs=made), statement("ingest", outputs=made))
    ledger.record(statement("features", materials=made))
    chain = ledger.chain(statement("features", materials=made).fingerprint)
    assert {recorded.statement.pipeline for recorded in chain} == {"shop"} and len(chain) == 2
    assert ledger.makers("shop", made)["raw"].pipeline == "shop"
    assert ledger.makers("shop", {"raw": sha256_bytes(b"other rows")}) == {}


def test_a_miss_is_compared_with_its_own_subject_first_and_with_the_newest(ledger):
    for number, day in enumerate(("2013-01-01", "2013-01-02", "2013-01-01", "2013-01-03")):
        made_of = {"parameters": {"number": number}}
        ledger.record(statement(subject=day, made_of=made_of, outputs={f"{number}": sha256_bytes(b"x")}))
    near = ledger.near("shop", "features", "2013-01-01")
    assert [one.ingredients.parameters["number"] for one in near] == [2, 0, 3, 1]


def test_a_row_somebody_changed_is_no_evidence(ledger, tmp_path):
    ledger.record(statement(), statement(subject="2013-01-02"))
    engine = sa.create_engine(f"sqlite:///{tmp_path}/ledger.db")
    with engine.begin() as connection:
        rows = connection.execute(sa.select(STATEMENT.c.id, STATEMENT.c.envelope).order_by(STATEMENT.c.id)).all()
        # A whole, validly signed envelope, but another statement's.
        connection.execute(STATEMENT.update().where(STATEMENT.c.id == rows[0].id).values(envelope=rows[1].envelope))
    with pytest.raises(EvidenceError, match="is not the one its row"):
        ledger.find(statement().fingerprint)


def test_a_statement_signed_by_a_foreign_key_is_no_evidence(ledger, tmp_path):
    (tmp_path / "foreign").mkdir()
    foreign = ledger_connection(tmp_path / "foreign")
    Ledger(dataclasses.replace(ledger.connection, keys=foreign.keys)).record(statement())
    with pytest.raises(EvidenceError, match="foreign key"):
        ledger.find(statement().fingerprint)


def test_without_keys_nothing_is_recorded(tmp_path):
    with pytest.raises(ConfigurationError, match="build_key"):
        Ledger(LedgerConnection(f"sqlite:///{tmp_path}/ledger.db")).record(statement())


def test_a_database_that_does_not_answer_is_an_unavailable_service_and_shows_no_password(ledger):
    url = "postgresql+psycopg2://slipway:hunter2@127.0.0.1:1/ledger"
    away = Ledger(dataclasses.replace(ledger.connection, url=url))
    for ask in (lambda: away.find("a" * 64), lambda: away.record(statement())):
        with pytest.raises(UnavailableError, match="slipway_ledger") as caught:
            ask()
        assert "hunter2" not in str(caught.value)
        assert caught.value.retryable
