"""Gate: enough devices of the cohort installed the version."""

from __future__ import annotations

from slipway.pipeline.spec import Gates
from slipway.release.evidence import Evidence, Verdict, named

NAME = "update_success"


def judge(evidence: Evidence, policy: Gates) -> Verdict:
    """Share of the cohort that installed the version, against ``min_update_success``.

    Fails as soon as the bound is out of reach even if every device that has not decided yet succeeds, and passes as
    soon as it is reached whatever they do; one device that stays off is no reason to wait.
    """
    bound = policy.min_update_success
    if not evidence.cohort:
        return Verdict(NAME, "inconclusive", None, bound, "no device is in the phase's cohort")
    total = len(evidence.cohort)
    installed = len(evidence.running)
    lost = [report for report in evidence.decided if report.outcome != "installed"]
    share = installed / total
    if (total - len(lost)) / total < bound:
        which = named(tuple(f"{report.device_id} {report.outcome} ({report.reason})" for report in lost), 3)
        return Verdict(NAME, "fail", share, bound, f"{len(lost)} of {total} devices did not install it: {which}")
    waiting = evidence.waiting()
    if not installed or share < bound:
        return Verdict(NAME, "inconclusive", share, bound, waiting or f"none of {total} devices installed it")
    done = f"{installed} of {total} devices installed it"
    return Verdict(NAME, "pass", share, bound, f"{done}; {waiting}" if waiting else done)
