"""Which run branches go: a table of what decides it."""

from __future__ import annotations

import pytest

from slipway.lake.retention import DAY_SECONDS, BranchState, decide

NOW = 2_000 * DAY_SECONDS


def fate_of(name: str, days_old: float, **changes: object) -> object:
    state = BranchState(name, head="c" * 64, changed=int(NOW - days_old * DAY_SECONDS))
    given = {"pipeline": "shop", "now": NOW, "keep_days": 14, "needed": {}, "running": (), **changes}
    found = decide([state], **given)  # type: ignore[arg-type]
    return found[0] if found else None


@pytest.mark.parametrize(
    "name", ["run-shop-2013-01-01-0123456789ab", "train-shop-0123456789ab", "staging-77", "reproduce-shop-v3"]
)
def test_a_branch_past_its_keep_time_goes_and_the_reason_says_by_how_much(name):
    fate = fate_of(name, 15)
    assert fate.goes and fate.branch == name
    assert fate.reason == "last changed 15.0 days ago, kept for 14"


@pytest.mark.parametrize("days_old", [0, 1, 13.9, 14])
def test_a_branch_within_its_keep_time_stays_for_inspection(days_old):
    assert not fate_of("run-shop-2013-01-01-0123456789ab", days_old).goes


def test_the_keep_time_is_the_pipelines_own():
    assert fate_of("train-shop-0123456789ab", 3, keep_days=2).goes
    assert not fate_of("train-shop-0123456789ab", 3, keep_days=4).goes


@pytest.mark.parametrize(
    "name",
    ["main", "run-shop", "run-shopping-2013-01-01-0123456789ab", "train-other-0123456789ab", "somebodys-run-shop-x"],
)
def test_branches_that_are_no_run_of_this_pipeline_are_never_considered(name):
    assert fate_of(name, 10_000) is None


def test_a_branch_whose_head_something_needs_stays_whatever_its_age():
    fate = fate_of("train-shop-0123456789ab", 10_000, needed={"c" * 64: "tag model-shop-v1"})
    assert not fate.goes and fate.reason == "needed by tag model-shop-v1"
    assert fate_of("train-shop-0123456789ab", 10_000, needed={"d" * 64: "tag model-shop-v1"}).goes


@pytest.mark.parametrize(
    ("name", "line", "other"),
    [
        ("run-shop-x", "ingest", "train"),
        ("staging-x", "ingest", "train"),
        ("train-shop-x", "train", "ingest"),
        ("reproduce-shop-v3", "reproduce", "train"),
    ],
)
def test_a_line_under_way_keeps_its_own_old_branches_and_no_others(name, line, other):
    fate = fate_of(name, 100, running=[line])
    assert not fate.goes and "under way" in fate.reason
    assert fate_of(name, 100, running=[other]).goes
