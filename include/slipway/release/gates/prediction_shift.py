"""Gate: the version predicts each class about as often in the field as in the evaluation."""

from __future__ import annotations

from collections import Counter

from slipway.pipeline.spec import Gates
from slipway.release.evidence import Evidence, Verdict

NAME = "prediction_shift"


def judge(evidence: Evidence, policy: Gates) -> Verdict:
    """The largest difference of any class's share, pooled over the cohort, against ``max_prediction_shift``.

    A share of few predictions is mostly chance; ``min_inferences`` is the only protection against that, and it counts
    the predictions themselves here, as failed inferences predict nothing.
    """
    bound = policy.max_prediction_shift
    if not evidence.expected_shares:
        reason = "the evaluation has no prediction_shares to compare with; register the version again"
        return Verdict(NAME, "error", None, bound, reason)
    seen: Counter[str] = Counter()
    for report in evidence.running:
        seen.update(report.predictions)
    total = seen.total()
    if missing := evidence.missing(policy.min_update_success):
        return Verdict(NAME, "inconclusive", None, bound, missing)
    if total < evidence.min_inferences:
        reason = f"{total} predictions were reported, at least {evidence.min_inferences} are needed"
        return Verdict(NAME, "inconclusive", None, bound, reason)
    shifts = {
        name: abs(seen[name] / total - evidence.expected_shares.get(name, 0.0))
        for name in sorted({*seen, *evidence.expected_shares})
    }
    worst = max(shifts, key=lambda name: shifts[name])
    expected = evidence.expected_shares.get(worst, 0.0)
    reason = f"{worst}: {seen[worst] / total:.1%} of {total} predictions, expected {expected:.1%}"
    return Verdict(NAME, "fail" if shifts[worst] > bound else "pass", shifts[worst], bound, reason)
