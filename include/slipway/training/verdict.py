"""Whether a trained model may be registered. Pure: numbers in, a verdict out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from slipway.pipeline.spec import Margins


@dataclass(frozen=True)
class Verdict:
    """``reasons`` of a pass say what was compared, of a fail what was not good enough."""

    outcome: Literal["pass", "fail"]
    reasons: tuple[str, ...]


def judge(
    metric: str,
    metrics: Mapping[str, Any],
    baseline: Mapping[str, Any],
    champion: Mapping[str, Any] | None,
    margins: Margins,
) -> Verdict:
    """Pass a model that beats the baseline, and the champion if there is one, by the pipeline's margins.

    Args:
        metric: name of the primary metric, higher is better.
        metrics: the model's, on the held-out rows.
        baseline: the baseline's, on the same rows.
        champion: the champion's, on the same rows; None if the pipeline has none yet.
        margins: what "beats" means; a difference equal to the margin is enough.

    Missing or non-finite numbers never pass.
    """
    opponents = [("baseline", baseline, margins.baseline)]
    if champion is not None:
        opponents.append((f"champion version {champion['version']}", champion, margins.champion))
    comparisons = [
        _compare(metric, metrics.get(metric), name, other.get(metric), margin) for name, other, margin in opponents
    ]
    failures = tuple(reason for passed, reason in comparisons if not passed)
    if failures:
        return Verdict("fail", failures)
    return Verdict("pass", tuple(reason for _, reason in comparisons))


def _compare(metric: str, own: float | None, name: str, other: float | None, margin: float) -> tuple[bool, str]:
    if own is None or not math.isfinite(own):
        return False, f"{metric} could not be measured on the held-out rows"
    if other is None or not math.isfinite(other):
        return False, f"{metric} of the {name} could not be measured on the held-out rows"
    gain = own - other
    passed = gain >= margin or math.isclose(gain, margin, abs_tol=1e-12)
    said = f"{metric} {own:.4f} against {other:.4f} of the {name}: {gain:+.4f}, at least {margin:+.4f} is asked for"
    return passed, said
