"""How events become totals."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from slipway.gateway.aggregate import Change, Running, Totals, add_events
from slipway.gateway.wire import Event

FRESH = Running(None, "", "x86-cpu")
_EVENTS = TypeAdapter(tuple[Event, ...])


def events(*said: dict[str, Any]) -> tuple[Event, ...]:
    return _EVENTS.validate_python(said)


def update(outcome: str = "installed", version: str | None = "2", release: str | None = "r", **more: Any) -> dict:
    return {"kind": "update", "version": version, "from": None, "outcome": outcome, "release": release, **more}


def inference(version: str = "2", count: int = 10, errors: int = 0, p95: float = 2.0, **predictions: int) -> dict:
    latency = {"p50": p95 / 2, "p95": p95, "max": p95 * 2}
    return {
        "kind": "inference",
        "version": version,
        "count": count,
        "errors": errors,
        "latency_ms": latency,
        "predictions": predictions,
    }


def added(*said: dict[str, Any], running: Running = FRESH, known: dict | None = None) -> Change:
    return add_events(running, known or {}, events(*said))


def test_an_inference_belongs_to_the_release_that_brought_the_version():
    change = added(update(golden_agreement=1.0), inference(late=4), inference(late=1, on_time=5))
    assert change.running == Running("2", "r", "x86-cpu")
    totals = change.totals["r", "2"]
    assert (totals.outcome, totals.golden_agreement, totals.inferences) == ("installed", 1.0, 20)
    assert totals.predictions == {"late": 5, "on_time": 5}


def test_inferences_before_and_after_a_switch_are_kept_apart():
    old = Running("1", "r0", "x86-cpu")
    change = added(inference("1", 7), update(), inference("2", 3), running=old)
    assert {key: totals.inferences for key, totals in change.totals.items()} == {("r0", "1"): 7, ("r", "2"): 3}


def test_a_late_inference_is_added_to_the_release_that_is_known_for_it():
    change = added(inference("1", 5), running=Running("2", "r", "t"), known={("r0", "1"): Totals(inferences=2)})
    assert change.totals["r0", "1"].inferences == 7


def test_p95_is_weighted_by_what_was_answered():
    change = added(update(), inference(count=30, p95=1.0), inference(count=11, errors=1, p95=5.0))
    totals = change.totals["r", "2"]
    assert totals.p95_weighted / totals.answered == pytest.approx((30 * 1.0 + 10 * 5.0) / 40)
    assert (totals.max_ms, totals.errors) == (10.0, 1)


@pytest.mark.parametrize("outcome", ["refused", "failed"])
def test_a_device_that_did_not_change_still_runs_what_it_ran(outcome: str):
    change = added(update(outcome, reason="sha256 differs"), running=Running("1", "r0", "t"))
    assert change.running == Running("1", "r0", "t")
    assert (change.totals["r", "2"].outcome, change.totals["r", "2"].reason) == (outcome, "sha256 differs")


def test_a_later_success_replaces_an_earlier_failure():
    change = added(update("failed", reason="disk full"), update())
    assert (change.totals["r", "2"].outcome, change.totals["r", "2"].reason) == ("installed", None)


def test_going_back_marks_the_version_that_was_left():
    back = update("rolled_back", "1", **{"from": "2"})
    change = added(back, running=Running("2", "r", "t"), known={("r", "2"): Totals("installed", inferences=9)})
    assert change.running.version == "1"
    assert (change.totals["r", "2"].outcome, change.totals["r", "2"].inferences) == ("rolled_back", 9)
    assert change.totals["r", "1"].outcome == "installed"


@pytest.mark.parametrize("version", ["none", None])
def test_going_back_to_nothing_runs_nothing(version: str | None):
    change = added(update("rolled_back", version, **{"from": "2"}), running=Running("2", "r", "t"))
    assert change.running.version is None
    assert change.totals["r", "2"].outcome == "rolled_back"


def test_a_status_says_what_runs_and_counts_nothing():
    change = added({"kind": "status", "version": None, "target": "x86-cpu-int8"}, running=Running("1", "r", "t"))
    assert change == Change(Running(None, "r", "x86-cpu-int8"), {})


_COUNTS = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=8)


@given(counts=_COUNTS, cut=st.integers(0, 8))
@settings(max_examples=50)
def test_it_does_not_matter_how_events_are_cut_into_batches(counts: list[tuple[int, int]], cut: int):
    said = [inference(count=late + on_time, late=late, on_time=on_time) for late, on_time in counts]
    whole = added(update(), *said)
    first = added(update(), *said[:cut])
    second = added(*said[cut:], running=first.running, known=dict(first.totals))
    assert {**first.totals, **second.totals} == dict(whole.totals)
