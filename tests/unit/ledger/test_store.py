"""The ledger: what is written once, found again, linked, and what it makes of statements that disagree."""

import dataclasses
import datetime as dt
import tempfile
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.connections import LedgerConnection
from slipway.errors import ConfigurationError, DisputedError, EvidenceError, UnavailableError, UnrecordedError
from slipway.identity.digest import sha256_bytes
from slipway.ledger.disputes import settlement
from slipway.ledger.schema import STATEMENT
from slipway.ledger.statement import Statement
from slipway.ledger.store import Ledger
from tests.simulators.ledger import execution, ledger_at, ledger_connection, record_version, statement

OTHER = {"features/2013-01-01": sha256_bytes(b"something else")}


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    return ledger_at(tmp_path)


def change(ledger, *which, **columns) -> None:
    """What somebody who may write the database does to its statements."""
    with sa.create_engine(ledger.connection.url).begin() as connection:
        connection.execute(STATEMENT.update().where(*which).values(**columns))


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


def contradicted(ledger) -> tuple[Statement, Statement]:
    first, other = statement(), statement(outputs=OTHER)
    ledger.record(first)
    with pytest.raises(DisputedError):
        ledger.record(other)
    return first, other


def test_after_a_dispute_the_first_outputs_fail_nobody_and_others_always_do(ledger):
    first, other = contradicted(ledger)
    ledger.record(first)
    ledger.require_agreement(first)
    assert ledger.find(first.fingerprint).disputed
    for refuse in (ledger.record, ledger.require_agreement, ledger.record):
        with pytest.raises(DisputedError, match="slipway ledger settle"):
            refuse(other)


def test_whoever_writes_the_database_cannot_clear_a_dispute(ledger):
    first, _ = contradicted(ledger)
    change(ledger, disputed=False)
    assert ledger.find(first.fingerprint).disputed


@given(kept=st.sampled_from([0, 1]), again=st.booleans())
@settings(max_examples=4, deadline=None)
def test_of_a_settled_dispute_the_kept_one_counts_and_the_others_are_refused(kept, again):
    with tempfile.TemporaryDirectory() as folder:
        ledger = ledger_at(Path(folder))
        both = contradicted(ledger)
        if again:
            ledger.record(settlement(both, both[1 - kept].outputs_digest, "at first", execution("settle-1")))
        ledger.record(settlement(both, both[kept].outputs_digest[:12], "seen", execution("settle-2", seconds=60)))
        found = ledger.find(both[0].fingerprint)
        assert found.statement == both[kept] and not found.disputed
        ledger.record(both[kept])
        with pytest.raises(DisputedError):
            ledger.record(both[1 - kept])
        assert not ledger.find(both[0].fingerprint).disputed
        assert ledger.chain(both[0].fingerprint)[0].statement == both[kept]
        marked = {one.statement.outputs_digest: one.disputed for one in ledger.chain(both[0].fingerprint)}
        assert marked == {both[kept].outputs_digest: False}


def test_outputs_nobody_saw_when_a_dispute_was_settled_are_a_new_one(ledger):
    first, other = contradicted(ledger)
    ledger.record(settlement([first, other], first.outputs_digest, "bad memory", execution()))
    with pytest.raises(DisputedError):
        ledger.record(statement(outputs={"features/2013-01-01": sha256_bytes(b"a third")}))
    assert ledger.find(first.fingerprint).disputed


def test_a_settlement_names_one_of_the_statements_and_is_approved(ledger):
    both = contradicted(ledger)
    for keep in ("", both[0].outputs_digest[:7], "f" * 64):
        with pytest.raises(UnrecordedError, match=both[1].outputs_digest):
            settlement(both, keep, "bad memory", execution())
    with pytest.raises(UnrecordedError, match="the ledger has: none"):
        settlement([], both[0].outputs_digest, "bad memory", execution())
    ledger.record(settlement(both, both[0].outputs_digest, "bad memory", execution()))
    (envelope,) = [one.envelope for one in ledger.claims(ledger.statements("shop", "settle")[0].fingerprint)]
    assert {ledger.trust().keys[keyid].role for keyid in envelope.signatures} == {"approval"}


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


def test_a_miss_is_compared_with_its_own_subject_first_and_with_the_newest(ledger):
    for number, day in enumerate(("2013-01-01", "2013-01-02", "2013-01-01", "2013-01-03")):
        made_of = {"parameters": {"number": number}}
        ledger.record(statement(subject=day, made_of=made_of, outputs={f"{number}": sha256_bytes(b"x")}))
    near = ledger.near("shop", "features", "2013-01-01", across=True)
    assert [one.ingredients.parameters["number"] for one in near] == [2, 0, 3, 1]
    alone = ledger.near("shop", "features", "2013-01-01")
    assert [one.ingredients.parameters["number"] for one in alone] == [2, 0]


def test_a_row_somebody_changed_is_no_evidence(ledger, tmp_path):
    ledger.record(statement(), statement(subject="2013-01-02"))
    engine = sa.create_engine(f"sqlite:///{tmp_path}/ledger.db")
    with engine.begin() as connection:
        rows = connection.execute(sa.select(STATEMENT.c.id, STATEMENT.c.envelope).order_by(STATEMENT.c.id)).all()
        # A whole, validly signed envelope, but another statement's.
        connection.execute(STATEMENT.update().where(STATEMENT.c.id == rows[0].id).values(envelope=rows[1].envelope))
    with pytest.raises(EvidenceError, match="is not the one its row"):
        ledger.find(statement().fingerprint)


@pytest.mark.parametrize(
    "changed",
    [
        {"subject": "2"},
        {"stage": "release"},
        {"pipeline": "other"},
        {"stable_digest": "f" * 64},
        {"finished": dt.datetime(2020, 1, 1, tzinfo=dt.UTC)},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_a_row_that_says_other_than_its_envelope_is_no_evidence(ledger, changed):
    record_version(ledger, "shop", "1", {"model.onnx": sha256_bytes(b"1")})
    registered = ledger.statements("shop", "register")[0]
    change(ledger, STATEMENT.c.stage == "register", **changed)
    told = {"pipeline": "shop", "stage": "register", **changed}
    for ask in (
        lambda: ledger.find(registered.fingerprint),
        lambda: ledger.statements(told["pipeline"], told["stage"], changed.get("subject")),
    ):
        with pytest.raises(EvidenceError, match=f"{next(iter(changed))} .* where the envelope says"):
            ask()


@pytest.mark.parametrize("changed", [{"envelope": "{}"}, {"subject": "2"}], ids=["envelope", "row"])
def test_a_statement_that_does_not_verify_is_replaced_when_it_is_made_again(ledger, changed, caplog):
    raw = statement("ingest", outputs={"raw": sha256_bytes(b"rows")})
    ledger.record(raw, statement(materials=raw.outputs))
    change(ledger, STATEMENT.c.stage == "features", **changed)
    again = statement(materials=raw.outputs, execution=execution("run-2"))
    ledger.record(again)
    assert ledger.find(again.fingerprint).statement == again
    assert [one.statement for one in ledger.chain(again.fingerprint)] == [again, raw]
    assert "is replaced, its envelope had sha256" in caplog.text


def test_a_statement_of_a_key_that_is_trusted_no_more_is_replaced_by_one_of_a_new_key(ledger, tmp_path):
    ledger.record(statement(), statement(subject="2013-01-02"))
    (tmp_path / "new").mkdir()
    anew = Ledger(dataclasses.replace(ledger.connection, keys=ledger_connection(tmp_path / "new").keys))
    again = statement(execution=execution("run-2"))
    anew.record(again)
    assert anew.find(again.fingerprint).statement == again and not anew.find(again.fingerprint).disputed
    assert anew.near("shop", "features", "2013-01-02", across=True) == [again]


def test_a_ledger_of_an_older_version_says_what_it_lacks_before_anything_is_written(tmp_path):
    ledger = ledger_at(tmp_path)
    with sa.create_engine(ledger.connection.url).begin() as connection:
        STATEMENT.create(connection)
        connection.execute(sa.text("ALTER TABLE slipway_statement DROP COLUMN stable_digest"))
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=r"lacks slipway_statement\.stable_digest; .*make clean"):
            ledger.record(statement())


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
