"""Gate: the version answers in time on every device."""

from __future__ import annotations

from slipway.pipeline.spec import Gates
from slipway.release.evidence import Evidence, Outcome, Verdict

NAME = "latency"


def judge(evidence: Evidence, policy: Gates) -> Verdict:
    """The slowest device's p95 in milliseconds, against ``max_p95_ms``.

    The slowest and not an average: a target that is too slow for its hardware must not hide behind the others.
    A device that reported inferences without a latency leaves the gate inconclusive.
    """
    bound = policy.max_p95_ms
    timed = [(report.p95_ms, report.device_id) for report in evidence.running if report.p95_ms is not None]
    slowest = max(timed, default=None)
    observed = slowest[0] if slowest else None
    if missing := evidence.missing(policy.min_update_success):
        return Verdict(NAME, "inconclusive", observed, bound, missing)
    untimed = sum(report.p95_ms is None for report in evidence.running if report.inferences)
    if slowest is None or untimed:
        return Verdict(NAME, "inconclusive", observed, bound, f"{untimed} devices reported no latency")
    outcome: Outcome = "fail" if slowest[0] > bound else "pass"
    return Verdict(NAME, outcome, observed, bound, f"p95 of the slowest device ({slowest[1]}) is {slowest[0]:.2f} ms")
