"""What the ledger knows of effects: before they begin, after a kill, after an error, and in the end."""

import datetime as dt
import sqlite3
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.connections import LedgerConnection
from slipway.errors import LakeConflictError, UnavailableError
from slipway.ledger.effects import Effect, Effects, Origin
from tests.simulators.channel import Killed

MERGE = Effect("merge", "lakefs://flights/main<-abc", "lakefs://flights/main", {"source": "abc"})
TAG = Effect("tag", "lakefs://flights/v1", "lakefs://flights/v1")
PUBLISH = Origin("flight_delay", "ingest", "flight_delay.ingest", "run-1", "publish")
ANOTHER_RUN = Origin("flight_delay", "ingest", "flight_delay.ingest", "run-2", "publish")


@pytest.fixture
def effects(tmp_path):
    return Effects(LedgerConnection(f"sqlite:///{tmp_path}/ledger.db?timeout=0.1"))


def killed_while_open(effects, *opened, origin=PUBLISH):
    with pytest.raises(Killed), effects.intents(origin) as intents:
        intents.open(*opened)
        raise Killed


def test_an_effect_is_open_before_it_is_begun_and_done_when_its_step_ended(effects):
    with effects.intents(PUBLISH) as intents:
        with intents.intended(MERGE):
            (record,) = effects.records(state="open")
            assert (record.effect, record.origin, record.attempts) == (MERGE, PUBLISH, 1)
            assert record.effect.details == {"source": "abc"} and record.closed is None
        intents.done(MERGE, "c0ffee")
    record = effects.find(MERGE)
    assert (record.state, record.outcome, record.error) == ("done", "c0ffee", "")
    assert dt.timedelta() <= record.closed - record.opened < dt.timedelta(minutes=1)
    assert effects.records(state="open") == []


def test_a_kill_leaves_it_open_and_the_retry_adopts_the_record(effects):
    killed_while_open(effects, MERGE)
    first = effects.find(MERGE)
    with effects.intents(PUBLISH) as intents, intents.intended(MERGE):
        (record,) = effects.records(state="open")
        assert (record.attempts, record.opened) == (2, first.opened)
    assert effects.find(MERGE).state == "done"


def test_a_retry_that_finds_its_work_done_closes_what_the_killed_try_left(effects):
    killed_while_open(effects, MERGE, TAG)
    killed_while_open(effects, Effect("tag", "another", "another"), origin=ANOTHER_RUN)
    with effects.intents(PUBLISH):
        pass
    assert [record.origin.run_id for record in effects.records(state="open")] == ["run-2"]


def test_a_step_that_raises_keeps_open_what_it_does_not_know_to_be_done(effects):
    with pytest.raises(LakeConflictError), effects.intents(PUBLISH) as intents:
        intents.open(MERGE, TAG)
        intents.done(TAG, "c0ffee")
        raise LakeConflictError("both sides changed it")
    assert effects.find(TAG).state == "done"
    (record,) = effects.records(state="open")
    assert (record.effect, record.error) == (MERGE, "LakeConflictError: both sides changed it")
    with effects.intents(PUBLISH) as intents, intents.intended(MERGE):
        assert "both sides" in effects.find(MERGE).error
    assert effects.find(MERGE).error == ""


def test_messages_of_other_libraries_stay_out_of_the_ledger(effects):
    with pytest.raises(ValueError), effects.intents(PUBLISH) as intents:
        intents.open(MERGE)
        raise ValueError("http://user:hunter2@host")
    assert effects.find(MERGE).error == "ValueError"


def test_the_same_work_done_again_reopens_its_record_as_a_first_try(effects):
    for origin in (PUBLISH, ANOTHER_RUN):
        with effects.intents(origin) as intents, intents.intended(MERGE):
            record = effects.find(MERGE)
            assert (record.state, record.attempts, record.closed, record.origin) == ("open", 1, None, origin)


def test_opening_twice_in_one_try_counts_once(effects):
    with effects.intents(PUBLISH) as intents:
        intents.open(MERGE, MERGE)
        intents.open(MERGE, TAG)
        assert [record.attempts for record in effects.records()] == [1, 1]


def test_without_a_ledger_nothing_is_begun():
    begun = []
    effects = Effects(LedgerConnection("postgresql+psycopg2://slipway:hunter2@127.0.0.1:1/ledger"))
    with pytest.raises(UnavailableError) as caught, effects.intents(PUBLISH) as intents, intents.intended(MERGE):
        begun.append(MERGE)
    assert begun == [] and caught.value.retryable and "hunter2" not in str(caught.value)


def test_a_ledger_lost_after_the_effect_leaves_it_open_for_the_retry(effects, tmp_path):
    with pytest.raises(UnavailableError), effects.intents(PUBLISH) as intents:
        intents.open(MERGE)
        intents.done(MERGE, "c0ffee")
        away = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
        away.execute("BEGIN EXCLUSIVE")
    away.close()
    assert effects.find(MERGE).state == "open"
    with effects.intents(PUBLISH) as intents, intents.intended(MERGE):
        pass
    assert effects.find(MERGE).state == "done"


def test_a_ledger_lost_does_not_hide_why_the_step_failed(effects, tmp_path):
    with pytest.raises(LakeConflictError), effects.intents(PUBLISH) as intents:
        intents.open(MERGE)
        away = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
        away.execute("BEGIN EXCLUSIVE")
        raise LakeConflictError("both sides changed it")
    away.close()


def test_records_are_chosen_by_state_and_pipeline_the_newest_last(effects):
    other = Origin("digit_reader", "ingest", "digit_reader.ingest", "run-1", "publish")
    killed_while_open(effects, MERGE)
    killed_while_open(effects, TAG, origin=other)
    with effects.intents(ANOTHER_RUN) as intents, intents.intended(MERGE):
        pass
    assert [record.effect for record in effects.records(state="open")] == [TAG]
    assert [record.effect for record in effects.records(pipeline="flight_delay")] == [MERGE]
    assert [record.effect for record in effects.records()] == [MERGE, TAG]
    assert [record.effect for record in effects.records(limit=1)] == [TAG]


def test_what_was_found_closes_a_record_unless_somebody_opened_it_again(effects):
    killed_while_open(effects, MERGE, TAG)
    seen = {record.effect: record for record in effects.records()}
    assert effects.settle(seen[TAG], "abandoned", "there is no such tag")
    assert (effects.find(TAG).state, effects.find(TAG).outcome) == ("abandoned", "there is no such tag")
    assert not effects.settle(seen[TAG], "found", "")
    killed_while_open(effects, MERGE, origin=ANOTHER_RUN)
    assert not effects.settle(seen[MERGE], "found", "c0ffee")
    assert effects.find(MERGE).state == "open"


KEYS = ("a", "b", "c")
TRIES = st.lists(
    st.tuples(
        st.sampled_from([PUBLISH, ANOTHER_RUN]),
        st.lists(st.sampled_from(KEYS)),
        st.sampled_from(["ends well", "raises", "is killed"]),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(TRIES)
def test_open_is_exactly_what_no_later_end_of_its_task_closed(tries):
    """Any tries of two runs, one after the other, against a model in a dictionary."""
    open_: dict[str, tuple[str, int]] = {}  # key -> whose, tries
    with tempfile.TemporaryDirectory() as folder:
        effects = Effects(LedgerConnection(f"sqlite:///{Path(folder)}/ledger.db"))
        for origin, keys, ending in tries:
            with suppress(Killed, LakeConflictError), effects.intents(origin) as intents:
                for key in keys:
                    intents.open(Effect("upload", key, key))
                if ending != "ends well":
                    raise Killed if ending == "is killed" else LakeConflictError("")
            for key in dict.fromkeys(keys):
                open_[key] = (origin.run_id, open_.get(key, ("", 0))[1] + 1)
            if ending == "ends well":
                open_ = {key: found for key, found in open_.items() if found[0] != origin.run_id}
        records = effects.records(state="open")
        assert {record.effect.key: (record.origin.run_id, record.attempts) for record in records} == open_
