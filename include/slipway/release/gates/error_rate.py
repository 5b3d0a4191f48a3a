"""Gate: inferences on the version rarely fail."""

from __future__ import annotations

from slipway.pipeline.spec import Gates
from slipway.release.evidence import Evidence, Verdict

NAME = "error_rate"


def judge(evidence: Evidence, policy: Gates) -> Verdict:
    """Failed inferences over all inferences of the cohort, against ``max_error_rate``.

    Fails before enough inferences were seen only if the errors so far already break the bound at the least number of
    inferences that counts, with no further error.
    """
    bound = policy.max_error_rate
    errors = sum(report.errors for report in evidence.running)
    inferences = evidence.inferences
    rate = errors / inferences if inferences else None
    if errors / max(inferences, evidence.min_inferences) > bound:
        return Verdict(NAME, "fail", rate, bound, f"{errors} of {inferences} inferences failed")
    if missing := evidence.missing(policy.min_update_success):
        return Verdict(NAME, "inconclusive", rate, bound, missing)
    return Verdict(NAME, "pass", rate, bound, f"{errors} of {inferences} inferences failed")
