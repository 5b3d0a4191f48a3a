"""Cohorts and decisions."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.device import order as device_order
from slipway.errors import ReleaseError
from slipway.release.evidence import Verdict
from slipway.release.plan import choose_salt, cohort, cohort_bucket, decide, in_cohort, release_id

FLEET = [f"device-{number:02d}" for number in range(20)]

PASS = Verdict("latency", "pass", 1.0, 50.0, "fast")
FAIL = Verdict("error_rate", "fail", 0.5, 0.01, "50 of 100 inferences failed")
OPEN = Verdict("update_success", "inconclusive", None, 0.95, "2 devices did not report")
BROKEN = Verdict("prediction_shift", "error", None, 0.15, "nothing to compare with")


def test_a_bucket_is_the_first_eight_bytes_of_the_salted_hash():
    # Written down once: devices in the field compute the same for ever.
    assert cohort_bucket("r:0", "device-00") == 1865
    assert cohort_bucket("r:1", "device-00") != cohort_bucket("r:0", "device-00")


@given(salt=st.text(min_size=1, max_size=30), device=st.text(min_size=1, max_size=30))
@settings(max_examples=50)
def test_the_device_computes_the_same_bucket(salt: str, device: str):
    assert cohort_bucket(salt, device) == device_order.cohort_bucket(salt, device)


@given(salt=st.text(max_size=20), low=st.integers(0, 100), high=st.integers(0, 100))
@settings(max_examples=50)
def test_a_wider_phase_keeps_everybody_of_the_narrower(salt: str, low: int, high: int):
    low, high = sorted((low, high))
    assert set(cohort(salt, FLEET, low)) <= set(cohort(salt, FLEET, high))


def test_nobody_is_in_0_percent_and_everybody_in_100():
    assert cohort("any", FLEET, 0) == ()
    assert cohort("any", FLEET, 100) == tuple(FLEET)


@pytest.mark.parametrize(("devices", "percent", "least"), [(20, 5, 1), (20, 25, 5), (1, 5, 1), (3, 34, 2), (200, 1, 2)])
def test_the_salt_makes_the_first_phase_large_enough(devices: int, percent: int, least: int):
    ids = [f"d{number}" for number in range(devices)]
    salt = choose_salt("r", ids, percent)
    assert len(cohort(salt, ids, percent)) >= least
    tried = int(salt.removeprefix("r:"))
    assert all(len(cohort(f"r:{earlier}", ids, percent)) < least for earlier in range(tried))


@pytest.mark.parametrize("silent", FLEET)
def test_the_salt_keeps_a_silent_device_out_of_the_phases_before_the_last(silent: str):
    salt = choose_salt("r", FLEET, 5, silent={silent}, early_percent=25)
    assert silent not in cohort(salt, FLEET, 25)
    assert len(cohort(salt, FLEET, 5)) >= 1


def test_too_many_silent_devices_leave_a_salt_that_is_large_enough():
    salt = choose_salt("r", FLEET, 5, silent=FLEET, early_percent=25)
    assert len(cohort(salt, FLEET, 5)) >= 1


def test_without_devices_the_first_salt_is_taken():
    assert choose_salt("r", [], 5) == "r:0"


@pytest.mark.parametrize("percent", [0, -1, 101])
def test_a_salt_for_no_real_phase_is_refused(percent: int):
    with pytest.raises(ReleaseError, match=r"1\.\.100"):
        choose_salt("r", FLEET, percent)


def test_a_percent_counts_in_hundredths_of_the_buckets():
    buckets = {device: cohort_bucket("s", device) for device in (f"d{number}" for number in range(500))}
    assert all(in_cohort("s", device, 25) == (bucket < 2500) for device, bucket in buckets.items())


def test_a_release_id_is_the_same_for_every_retry_of_a_run():
    assert release_id("flight_delay", "2", "manual__1") == release_id("flight_delay", "2", "manual__1")
    assert release_id("flight_delay", "2", "manual__1") != release_id("flight_delay", "2", "manual__2")
    assert release_id("flight_delay", "2", "x").startswith("flight_delay-v2-")


def test_it_continues_only_when_every_gate_passes():
    assert decide([PASS, PASS], 0, 90).action == "continue"


def test_one_failure_rolls_back_at_once_and_says_why():
    decision = decide([PASS, FAIL, OPEN], 0, 90)
    assert decision.action == "roll_back"
    assert "error_rate failed: 50 of 100 inferences failed (observed 0.5, bound 0.01)" in decision.reason


@pytest.mark.parametrize("open_gate", [OPEN, BROKEN])
def test_it_waits_for_evidence_and_then_rolls_back_naming_what_was_missing(open_gate: Verdict):
    assert decide([PASS, open_gate], 89.9, 90).action == "wait"
    late = decide([PASS, open_gate], 90, 90)
    assert late.action == "roll_back"
    assert open_gate.reason in late.reason


def test_no_verdicts_are_no_reason_to_continue():
    assert decide([], 0, 90).action == "wait"
    assert decide([], 90, 90).action == "roll_back"


@given(
    outcomes=st.lists(st.sampled_from(["pass", "fail", "inconclusive", "error"]), max_size=6),
    waited=st.floats(0, 200),
)
@settings(max_examples=100)
def test_it_never_continues_on_anything_but_passes(outcomes: list, waited: float):
    decision = decide([Verdict("g", outcome, None, 1, "r") for outcome in outcomes], waited, 90)
    assert (decision.action == "continue") == (outcomes != [] and set(outcomes) == {"pass"})
    assert not (decision.action == "wait" and waited >= 90)
