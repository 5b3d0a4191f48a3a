"""Every gate on evidence that passes, fails, and is not enough."""

from dataclasses import replace

import pytest

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
    reports = [report(number) for number in range(19)]
    failed = report(19, outcome="failed", reason="disk full")
    verdict = judged("update_success", evidence(*reports, failed))
    assert verdict.outcome == "inconclusive"
    assert "d19 (failed: disk full)" in verdict.reason


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
