"""What a model must beat: the plainest prediction the training set allows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from slipway.pipeline.spec import Baseline
from slipway.training.metrics import accuracy, auc


def measure_baseline(
    baseline: Baseline,
    *,
    training: pd.DataFrame,
    training_labels: NDArray[np.int64],
    holdout: pd.DataFrame,
    holdout_labels: NDArray[np.int64],
    classes: int,
) -> dict[str, Any]:
    """Learn the baseline from the training rows and measure it on the held-out ones.

    Args:
        baseline: the pipeline's choice.
        training: training rows; ``training_labels`` int64 [rows] beside them.
        holdout: held-out rows; ``holdout_labels`` int64 [rows] beside them.
        classes: how many there are.

    Returns:
        ``kind``, ``column`` (null for ``majority``), ``auc`` (null if the held-out rows have one label), ``accuracy``.
    """
    if baseline.kind == "group_share":
        column = str(baseline.column)
        scores = group_shares(training[column], training_labels, holdout[column], classes)
    else:
        scores = majority(training_labels, len(holdout_labels), classes)
    return {
        "kind": baseline.kind,
        "column": baseline.column,
        "auc": auc(scores, holdout_labels),
        "accuracy": accuracy(scores, holdout_labels),
    }


def group_shares(
    groups: pd.Series[Any], labels: NDArray[np.int64], asked: pd.Series[Any], classes: int
) -> NDArray[np.float64]:
    """Each asked row's class shares in the training rows of its group, float64 [asked, classes].

    A group the training rows do not have gets the shares of all of them.
    """
    table = pd.crosstab(groups.to_numpy(), labels, normalize="index").reindex(columns=range(classes), fill_value=0.0)
    overall = np.bincount(labels, minlength=classes) / len(labels)
    shares = table.reindex(asked.to_numpy()).to_numpy(dtype=np.float64, copy=True)
    unseen = np.isnan(shares).any(axis=1)
    shares[unseen] = overall
    return shares


def majority(labels: NDArray[np.int64], rows: int, classes: int) -> NDArray[np.float64]:
    """The training set's most frequent class for every row, float64 [rows, classes]."""
    scores = np.zeros((rows, classes))
    scores[:, np.bincount(labels, minlength=classes).argmax()] = 1.0
    return scores
