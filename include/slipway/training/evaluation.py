"""What a verdict rests on: the model, the baseline and the champion on the same held-out rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from slipway.pipeline.spec import Training
from slipway.training.baseline import measure_baseline
from slipway.training.metrics import by_slice, measure, prediction_shares
from slipway.training.model_module import Encoded
from slipway.training.verdict import judge


@dataclass(frozen=True)
class Rows:
    """Some partitions' rows: as the features have them and as the model takes them."""

    frame: pd.DataFrame
    encoded: Encoded


def evaluate(
    spec: Training,
    classes: tuple[str, ...],
    training: Rows,
    holdout: Rows,
    *,
    logits: NDArray[np.float32],
    champion: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Everything a verdict rests on, and the verdict: the content of ``evaluation.json``.

    Args:
        spec: names the metric, the margins, the baseline and the slices.
        classes: of the model.
        training: rows the baseline learns from.
        holdout: rows everything is measured on.
        logits: float32 [held-out rows, classes], the trained model's.
        champion: the champion's metrics on the same rows, if there is one.
    """
    labels = holdout.encoded.labels
    metrics = measure(logits, labels)
    baseline = measure_baseline(
        spec.baseline,
        training=training.frame,
        training_labels=training.encoded.labels,
        holdout=holdout.frame,
        holdout_labels=labels,
        classes=len(classes),
    )
    return {
        "metric": spec.metric,
        "metrics": metrics,
        "baseline": baseline,
        "champion": None if champion is None else dict(champion),
        "slices": by_slice(holdout.frame, spec.slices, logits, labels, classes),
        "prediction_shares": prediction_shares(logits, classes),
        "verdict": asdict(judge(spec.metric, metrics, baseline, champion, spec.margins)),
    }
