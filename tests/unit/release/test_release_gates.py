"""Every gate on evidence that passes, fails, and is not enough."""

from dataclasses import replace

import hypothesis
import pytest
from hypothesis import strategies as st

from slipway.pipeline.spec import Gates
from slipway.release.evidence import DeviceEvidence, Evidence, Verdict
from slipway.release.gates import GATES, judge_all
from tests.simulators.evidence import HEALTHY

POLICY = Gates(
    min_update_success=0.9,
    max_error_rate=0.01,
    max_p95_ms=50.0,
    min_golden_agreement=0.97,
    max_prediction_shift=0.15,
)


def report(number: int, **said: object) -> DeviceEvidence:
    return replace(HEALTHY, device_id=f"d{number}", version="2", **said)


def evidence(*reports: DeviceEvidence, cohort: int | None = None, **changed: object) -> Evidence:
    members = tuple(f"d{number}" for number in range(len(reports) if cohort is None else cohort))
    given = Evidence("r", "2", members, reports, 100, {"late": 0.2, "on_time": 0.8})
    return replace(given, **changed)


def judged(gate: str, given: Evidence) -> Verdict:
    return GATES[gate](given, POLICY)


def test_a_healthy_cohort_passes_every_gate():
    verdicts = judge_all(evidence(report(0), report(1), report(2)), POLICY)
    assert {verdict.gate: verdict.outcome for verdict in verdicts} == dict.fromkeys(GATES, "pass")


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize(
    "given",
    [
        pytest.param(evidence(cohort=0), id="an empty cohort"),
        pytest.param(evidence(cohort=2), id="nobody reported"),
        pytest.param(evidence(report(0), cohort=2), id="one of two did not report"),
        pytest.param(evidence(report(0), report(1, outcome=None), cohort=2), id="one did not end its update"),
        pytest.param(evidence(report(0), report(1, outcome="failed", reason="disk full")), id="one tries again"),
        pytest.param(evidence(report(5), cohort=1), id="only a device outside the cohort reported"),
    ],
)
def test_missing_evidence_never_passes(gate: str, given: Evidence):
    verdict = judged(gate, given)
    assert verdict.outcome == "inconclusive"
    assert verdict.reason


@pytest.mark.parametrize("gate", ["error_rate", "latency", "prediction_shift"])
def test_too_few_inferences_are_inconclusive(gate: str):
    few = evidence(report(0, inferences=99, predictions={"late": 19, "on_time": 80}))
    assert judged(gate, few).outcome == "inconclusive"
    assert "at least 100" in judged(gate, few).reason


@pytest.mark.parametrize("gate", ["error_rate", "latency", "prediction_shift"])
def test_a_device_that_runs_it_without_an_inference_is_waited_for(gate: str):
    verdict = judged(gate, evidence(report(0), report(1, inferences=0, predictions={}, p95_ms=None)))
    assert (verdict.outcome, "d1" in verdict.reason) == ("inconclusive", True)


def test_updates_fail_as_soon_as_the_bound_is_out_of_reach():
    refused = report(0, outcome="refused", reason="sha256 differs", golden_agreement=None)
    verdict = judged("update_success", evidence(refused, cohort=5))
    assert verdict.outcome == "fail"
    assert "d0 refused (sha256 differs)" in verdict.reason


def test_updates_wait_while_the_bound_is_in_reach_and_name_who_failed_for_now():
    reports = [report(number) for number in range(17)]
    failed = report(17, outcome="failed", reason="disk full")
    verdict = judged("update_success", evidence(*reports, failed, cohort=20))
    assert (verdict.outcome, verdict.observed) == ("inconclusive", 0.85)
    assert "d17 (failed: disk full)" in verdict.reason


def test_updates_pass_once_the_bound_is_reached_and_name_who_is_still_out():
    reports = [report(number) for number in range(18)]
    verdict = judged("update_success", evidence(*reports, cohort=20, silent=frozenset({"d19"})))
    assert (verdict.outcome, verdict.observed) == ("pass", 0.9)
    assert verdict.reason.endswith("the update has not ended on 2 of 20 devices: d18, d19 (silent)")


def test_updates_never_pass_with_none_installed_whatever_the_bound():
    nothing_asked = POLICY.model_copy(update={"min_update_success": 0.0})
    for given in (evidence(cohort=3), evidence(report(0, outcome="refused"))):
        assert GATES["update_success"](given, nothing_asked).outcome == "inconclusive"


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize(
    "last",
    [
        pytest.param(None, id="it reported nothing"),
        pytest.param({"outcome": None}, id="its update did not end"),
        pytest.param({"inferences": 0, "predictions": {}, "p95_ms": None}, id="it went off after the update"),
    ],
)
def test_a_silent_share_within_the_bound_holds_up_no_gate(gate: str, last: dict | None):
    quiet = [] if last is None else [report(19, **last)]
    given = evidence(*(report(number) for number in range(19)), *quiet, cohort=20, silent=frozenset({"d19"}))
    assert judged(gate, given).outcome == "pass"


@pytest.mark.parametrize("gate", ["golden_agreement", "error_rate", "latency", "prediction_shift"])
class TestWaitingForTheOthers:
    def test_a_device_that_is_on_is_waited_for_although_the_bound_is_reached(self, gate: str):
        assert judged(gate, evidence(*(report(number) for number in range(19)), cohort=20)).outcome == "inconclusive"

    def test_a_device_that_cannot_update_for_now_is_not_waited_for(self, gate: str):
        failed = report(19, outcome="failed", reason="disk full", golden_agreement=None, inferences=0, predictions={})
        given = evidence(*(report(number) for number in range(19)), failed, cohort=20)
        assert judged(gate, given).outcome == "pass"

    def test_a_larger_silent_share_is_missing_evidence(self, gate: str):
        silent = frozenset({"d17", "d18", "d19"})
        verdict = judged(gate, evidence(*(report(number) for number in range(17)), cohort=20, silent=silent))
        assert verdict.outcome == "inconclusive"
        assert "d17 (silent), d18 (silent), d19 (silent)" in verdict.reason

    def test_a_cohort_that_is_all_silent_is_missing_evidence_whatever_the_bound(self, gate: str):
        nothing_asked = POLICY.model_copy(update={"min_update_success": 0.0})
        given = evidence(cohort=3, silent=frozenset({"d0", "d1", "d2"}))
        assert GATES[gate](given, nothing_asked).outcome == "inconclusive"


_SAID = st.sampled_from(
    [
        None,
        {},
        {"outcome": None},
        {"outcome": "failed", "golden_agreement": None, "inferences": 0, "predictions": {}, "p95_ms": None},
        {"outcome": "refused", "golden_agreement": None, "inferences": 0, "predictions": {}, "p95_ms": None},
        {"inferences": 0, "predictions": {}, "p95_ms": None},
        {"inferences": 3, "predictions": {"late": 1, "on_time": 2}},
    ]
)


@hypothesis.given(
    fleet=st.lists(st.tuples(_SAID, st.booleans()), max_size=24), bound=st.sampled_from([0.0, 0.55, 0.9, 0.95, 1.0])
)
@hypothesis.settings(max_examples=400, deadline=None)
def test_all_gates_pass_only_on_enough_evidence_of_enough_devices(fleet: list, bound: float):
    reports = tuple(report(number, **said) for number, (said, _) in enumerate(fleet) if said is not None)
    silent = frozenset(f"d{number}" for number, (_, off) in enumerate(fleet) if off)
    given = evidence(*reports, cohort=len(fleet), silent=silent)
    verdicts = judge_all(given, POLICY.model_copy(update={"min_update_success": bound}))
    if {verdict.outcome for verdict in verdicts} == {"pass"}:
        working = [one for one in reports if one.outcome == "installed" and one.inferences]
        assert sum(one.inferences for one in working) >= given.min_inferences
        ended = [one for one in reports if one.outcome == "refused"]
        assert (len(working) + len(ended)) / len(fleet) >= bound
        heard = {one.device_id for one in (*working, *ended)} | {r.device_id for r in reports if r.outcome == "failed"}
        assert set(given.cohort) - heard <= silent


def test_a_few_refusals_within_the_bound_pass_and_hold_up_no_other_gate():
    reports = [report(number) for number in range(19)]
    refused = report(19, outcome="refused", golden_agreement=None, inferences=0, predictions={}, p95_ms=None)
    verdicts = judge_all(evidence(*reports, refused), POLICY)
    assert {verdict.outcome for verdict in verdicts} == {"pass"}
    assert verdicts[0].observed == pytest.approx(0.95)


def test_a_device_that_went_back_counts_as_not_updated():
    assert judged("update_success", evidence(report(0, outcome="rolled_back"))).outcome == "fail"


def test_errors_are_counted_over_the_whole_cohort():
    verdict = judged("error_rate", evidence(report(0, errors=2), report(1)))
    assert (verdict.outcome, verdict.observed) == ("pass", 0.01)
    assert judged("error_rate", evidence(report(0, errors=3), report(1))).outcome == "fail"


def test_errors_fail_early_only_when_no_good_inference_could_make_up_for_them():
    certain = evidence(report(0, inferences=10, errors=2), cohort=2)
    assert judged("error_rate", certain).outcome == "fail"
    possible = evidence(report(0, inferences=10, errors=1), cohort=2)
    assert judged("error_rate", possible).outcome == "inconclusive"


def test_the_slowest_device_decides_the_latency():
    verdict = judged("latency", evidence(report(0), report(1, p95_ms=50.1)))
    assert (verdict.outcome, verdict.observed) == ("fail", 50.1)
    assert "d1" in verdict.reason
    assert judged("latency", evidence(report(0), report(1, p95_ms=50.0))).outcome == "pass"


def test_a_device_without_a_latency_leaves_it_open():
    assert judged("latency", evidence(report(0), report(1, p95_ms=None))).outcome == "inconclusive"


def test_one_device_off_the_golden_batch_fails_the_phase_at_once():
    verdict = judged("golden_agreement", evidence(report(0, golden_agreement=0.96), cohort=9))
    assert (verdict.outcome, verdict.observed) == ("fail", 0.96)


def test_an_installation_without_a_self_test_leaves_it_open():
    assert judged("golden_agreement", evidence(report(0), report(1, golden_agreement=None))).outcome == "inconclusive"


def test_prediction_shares_are_pooled_over_the_cohort():
    uneven = [report(0, predictions={"late": 100}), report(1, predictions={"on_time": 100})]
    verdict = judged("prediction_shift", evidence(*uneven))
    assert (verdict.outcome, verdict.observed) == ("fail", pytest.approx(0.3))
    assert judged("prediction_shift", evidence(*uneven, report(2), report(3), report(4))).outcome == "pass"


def test_a_class_the_evaluation_never_saw_is_a_shift():
    verdict = judged("prediction_shift", evidence(report(0, predictions={"late": 20, "on_time": 60, "other": 20})))
    assert verdict.outcome == "fail"


def test_failed_inferences_are_no_predictions_to_judge_shares_on():
    verdict = judged("prediction_shift", evidence(report(0, inferences=100, errors=1, predictions={"late": 99})))
    assert (verdict.outcome, "99 predictions" in verdict.reason) == ("inconclusive", True)


def test_nothing_to_compare_with_is_an_error():
    assert judged("prediction_shift", evidence(report(0), expected_shares={})).outcome == "error"
