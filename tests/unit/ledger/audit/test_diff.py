"""What differs in the making of two versions."""

import pytest

from slipway.ledger.audit.diff import diff
from slipway.ledger.audit.records import LedgerRecords
from tests.simulators.ledger import ledger_at
from tests.simulators.past import Past

DAYS = ["2013-01-07", "2013-01-08", "2013-01-09"]


@pytest.fixture
def past(tmp_path):
    past = Past(ledger_at(tmp_path))
    for day in DAYS:
        past.day(day)
    return past


def compared(past, before, after):
    records = LedgerRecords(past.ledger)
    return diff(records.making("shop", before), records.making("shop", after))


def test_days_are_told_as_added_removed_and_changed(past):
    past.day(DAYS[1], content="corrected")
    past.version("1", DAYS[:2])
    past.version("2", DAYS[1:], {DAYS[1]: "corrected"})
    found = compared(past, "1", "2").data
    assert (found.added, found.removed, found.changed) == ((DAYS[2],), (DAYS[0],), (DAYS[1],))


def test_a_parameter_is_told_where_it_was_set_and_followed_from_there_on(past):
    past.version("1", DAYS, lr=0.001)
    past.version("2", DAYS, lr=0.002)
    train, *after = compared(past, "1", "2").stages
    assert "parameter lr 0.001 → 0.002" in map(str, train.differences)
    assert [one.stage for one in after] == ["export", "compile x86-cpu", "compile x86-cpu-int8", "register"]
    assert all(one.follows for one in after)


def test_a_version_differs_in_nothing_from_itself(past):
    past.version("1", DAYS)
    found = compared(past, "1", "1")
    assert found.same and all(one.same_outputs and not one.differences for one in found.stages)


def test_the_other_way_round_what_was_added_is_removed(past):
    past.version("1", DAYS[:1])
    past.version("2", DAYS)
    there, back = compared(past, "1", "2"), compared(past, "2", "1")
    assert there.data.added == back.data.removed == tuple(DAYS[1:])
    assert there.metrics["log_loss"] == back.metrics["log_loss"][::-1] == (0.49, 0.48)
    assert not there.same
