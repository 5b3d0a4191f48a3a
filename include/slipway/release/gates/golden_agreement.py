"""Gate: the version answers the golden batch on the device as it did where it was compiled."""

from __future__ import annotations

from slipway.pipeline.spec import Gates
from slipway.release.evidence import Evidence, Verdict, named

NAME = "golden_agreement"


def judge(evidence: Evidence, policy: Gates) -> Verdict:
    """The lowest share of golden rows with the expected class, against ``min_golden_agreement``.

    One device below the bound fails the phase at once, also one that refused the version because of it: the batch is
    the same everywhere, so a disagreement means broken bytes or other arithmetic, not chance.
    """
    bound = policy.min_golden_agreement
    decided = evidence.decided
    tested = [(one.golden_agreement, one.device_id) for one in decided if one.golden_agreement is not None]
    lowest = min(tested, default=None)
    observed = lowest[0] if lowest else None
    if lowest and lowest[0] < bound:
        return Verdict(NAME, "fail", observed, bound, f"{lowest[1]} agreed on {lowest[0]:.1%} of the golden batch")
    if not evidence.cohort:
        return Verdict(NAME, "inconclusive", observed, bound, "no device is in the phase's cohort")
    if awaited := evidence.awaited(policy.min_update_success):
        return Verdict(NAME, "inconclusive", observed, bound, awaited)
    untested = tuple(report.device_id for report in evidence.running if report.golden_agreement is None)
    if lowest is None or untested:
        reason = f"{len(untested)} devices installed it without a self-test result: {named(untested)}"
        return Verdict(NAME, "inconclusive", observed, bound, reason)
    return Verdict(NAME, "pass", observed, bound, f"the lowest of {len(tested)} devices agreed on {lowest[0]:.1%}")
