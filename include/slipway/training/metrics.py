"""How good predictions are. Plain NumPy, so that the numbers a release is judged by can be read here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

MIN_SLICE_ROWS = 30
"""Below this a slice's AUC is noise and is given as null."""

Scores = NDArray[np.floating[Any]]


def probabilities(logits: Scores) -> NDArray[np.float64]:
    """Softmax: float64 [rows, classes] from logits of that shape."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    powers = np.exp(shifted)
    shares: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return shares


def auc(scores: Scores, labels: NDArray[np.int64]) -> float | None:
    """Area under the ROC curve; with more than two classes the mean of one-against-the-rest.

    Args:
        scores: [rows, classes], higher is more likely.
        labels: int64 [rows].

    Returns:
        None where every row has the same label: nothing can be ranked.
    """
    classes = [1] if scores.shape[1] == 2 else range(scores.shape[1])
    areas = [_auc_of(scores[:, index], labels == index) for index in classes]
    known = [area for area in areas if area is not None]
    return float(np.mean(known)) if known else None


def accuracy(scores: Scores, labels: NDArray[np.int64]) -> float:
    """Share of rows whose highest score is their label's."""
    return float((scores.argmax(axis=1) == labels).mean())


def log_loss(logits: Scores, labels: NDArray[np.int64]) -> float:
    """Mean negative log-likelihood of the labels, in nats."""
    wide = logits.astype(np.float64)
    shifted = wide - wide.max(axis=1, keepdims=True)
    likelihood = shifted[np.arange(len(labels)), labels] - np.log(np.exp(shifted).sum(axis=1))
    return float(-likelihood.mean())


def measure(logits: Scores, labels: NDArray[np.int64]) -> dict[str, Any]:
    """``auc`` (may be null), ``accuracy``, ``log_loss`` and ``rows`` of a model's logits."""
    return {
        "auc": auc(probabilities(logits), labels),
        "accuracy": accuracy(logits, labels),
        "log_loss": log_loss(logits, labels),
        "rows": len(labels),
    }


def prediction_shares(logits: Scores, classes: Sequence[str]) -> dict[str, float]:
    """Share of rows predicted as each class."""
    counts = np.bincount(logits.argmax(axis=1), minlength=len(classes))
    return {name: float(count / len(logits)) for name, count in zip(classes, counts, strict=True)}


def by_slice(
    frame: pd.DataFrame, columns: Sequence[str], logits: Scores, labels: NDArray[np.int64], classes: Sequence[str]
) -> dict[str, dict[str, dict[str, Any]]]:
    """Metrics per value of each column: ``slices[column][value]``.

    Every slice has ``rows``, ``accuracy`` and ``auc`` (null below ``MIN_SLICE_ROWS`` rows or with a single label); of
    two classes also the share of the second, named after it (``late_share``).
    """
    return {column: _slices_of(frame[column], logits, labels, classes) for column in columns}


def _slices_of(
    values: pd.Series[Any], logits: Scores, labels: NDArray[np.int64], classes: Sequence[str]
) -> dict[str, dict[str, Any]]:
    names = values.astype(str).to_numpy()
    slices: dict[str, dict[str, Any]] = {}
    for name in sorted(set(names)):
        rows = names == name
        measured = measure(logits[rows], labels[rows])
        slices[name] = {
            "rows": measured["rows"],
            "auc": measured["auc"] if measured["rows"] >= MIN_SLICE_ROWS else None,
            "accuracy": measured["accuracy"],
        }
        if len(classes) == 2:
            slices[name][f"{classes[1]}_share"] = float(labels[rows].mean())
    return slices


def _auc_of(scores: NDArray[np.floating[Any]], positive: NDArray[np.bool_]) -> float | None:
    """Mann-Whitney: the share of (positive, negative) pairs in the right order, ties counting half."""
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if not positives or not negatives:
        return None
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2.0
    total = float(ranks[place][positive].sum())
    return (total - positives * (positives + 1) / 2.0) / (positives * negatives)
