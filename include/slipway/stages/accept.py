"""Accept: may this model go on to be compiled and registered?"""

from __future__ import annotations

import logging

from slipway.errors import ModelError
from slipway.lake.client import Lake
from slipway.stages.train import TrainingPlan, evaluation

_LOG = logging.getLogger(__name__)


def accepted(lake: Lake, plan: TrainingPlan) -> bool:
    """Whether the training pod's verdict is ``pass``; logs what was compared and why.

    Raises:
        ModelError: the evaluation holds no verdict; missing evidence never passes.
    """
    measured = evaluation(lake, plan)
    verdict = measured.get("verdict") or {}
    outcome, reasons = verdict.get("outcome"), verdict.get("reasons", [])
    if outcome not in ("pass", "fail"):
        raise ModelError(
            f"expected evaluation.json of {plan.output('train')} to hold a verdict pass or fail, got {outcome!r}"
        )
    metric = measured["metric"]
    champion = measured.get("champion")
    _LOG.info(
        "%s on %d held-out rows (%s to %s): model %.4f, baseline %.4f, champion %s",
        metric,
        measured["metrics"]["rows"],
        plan.holdout[0],
        plan.holdout[-1],
        measured["metrics"][metric],
        measured["baseline"][metric],
        f"{champion[metric]:.4f} (version {champion['version']})" if champion else "none yet",
    )
    for reason in reasons:
        _LOG.info("%s", reason)
    if outcome == "fail":
        _LOG.warning(
            "NOT REGISTERED: the model does not beat what it was compared with; the champion stays. %s", reasons
        )
    return bool(outcome == "pass")
