"""One module per gate, one line per gate here; the order is the order people read the verdicts in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from slipway.pipeline.spec import Gates
from slipway.release.evidence import Evidence, Verdict
from slipway.release.gates import error_rate, golden_agreement, latency, prediction_shift, update_success

Judge = Callable[[Evidence, Gates], Verdict]

GATES: Mapping[str, Judge] = MappingProxyType(
    {
        update_success.NAME: update_success.judge,
        golden_agreement.NAME: golden_agreement.judge,
        error_rate.NAME: error_rate.judge,
        latency.NAME: latency.judge,
        prediction_shift.NAME: prediction_shift.judge,
    }
)


def judge_all(evidence: Evidence, policy: Gates) -> tuple[Verdict, ...]:
    """Every gate's verdict on the same evidence."""
    return tuple(judge(evidence, policy) for judge in GATES.values())
