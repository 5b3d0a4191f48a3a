import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.training.metrics import MIN_SLICE_ROWS, accuracy, auc, by_slice, log_loss, measure, prediction_shares

CLASSES = ("on_time", "late")


def two_columns(scores: list[float]) -> np.ndarray:
    positive = np.asarray(scores, dtype=np.float64)
    return np.stack([-positive, positive], axis=1)


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=40))
def test_auc_is_the_share_of_ordered_pairs(rows: list[tuple[int, bool]]) -> None:
    positives = [score for score, late in rows if late]
    negatives = [score for score, late in rows if not late]
    found = auc(two_columns([float(score) for score, _ in rows]), np.array([int(late) for _, late in rows]))
    if not positives or not negatives:
        assert found is None
        return
    pairs = [1.0 if p > n else 0.5 if p == n else 0.0 for p in positives for n in negatives]
    assert found == pytest.approx(sum(pairs) / len(pairs))


def test_auc_of_many_classes_is_the_mean_of_one_against_the_rest() -> None:
    scores = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.5, 0.2, 0.3]])
    assert auc(scores, np.array([0, 1, 2])) == pytest.approx(1.0)
    assert auc(scores, np.array([2, 1, 0])) == pytest.approx((0.5 + 1.0 + 0.25) / 3)


def test_auc_leaves_out_classes_without_rows() -> None:
    scores = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1]])
    assert auc(scores, np.array([0, 1])) == pytest.approx(1.0)


def test_log_loss_stays_finite_for_large_logits() -> None:
    assert log_loss(np.array([[1000.0, -1000.0]], dtype=np.float32), np.array([1])) == pytest.approx(2000.0)
    assert log_loss(np.zeros((3, 2), dtype=np.float32), np.array([0, 1, 1])) == pytest.approx(math.log(2))


def test_measure_counts_rows_and_right_answers() -> None:
    logits = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0], [0.0, 3.0]])
    measured = measure(logits, np.array([0, 1, 1, 1]))
    assert (measured["rows"], measured["accuracy"]) == (4, 0.75)
    assert accuracy(logits, np.array([1, 0, 0, 1])) == 0.5


def test_prediction_shares_name_every_class_and_sum_to_one() -> None:
    shares = prediction_shares(np.array([[1.0, 0.0, -1.0], [0.5, 2.0, 0.0], [3.0, 0.0, 0.0]]), ("a", "b", "c"))
    assert shares == pytest.approx({"a": 2 / 3, "b": 1 / 3, "c": 0.0})


def test_a_slice_too_small_for_an_auc_has_rows_but_no_auc() -> None:
    rows = MIN_SLICE_ROWS + MIN_SLICE_ROWS - 1
    frame = pd.DataFrame({"carrier": ["UA"] * MIN_SLICE_ROWS + ["HA"] * (MIN_SLICE_ROWS - 1)})
    labels = np.arange(rows) % 2
    slices = by_slice(frame, ["carrier"], two_columns(list(labels.astype(float))), labels, CLASSES)["carrier"]
    assert slices["UA"] == {"rows": MIN_SLICE_ROWS, "auc": 1.0, "accuracy": 1.0, "late_share": 0.5}
    assert slices["HA"]["auc"] is None
    assert slices["HA"]["rows"] == MIN_SLICE_ROWS - 1


def test_a_slice_with_one_label_has_no_auc() -> None:
    frame = pd.DataFrame({"origin": ["JFK"] * 50})
    labels = np.zeros(50, dtype=np.int64)
    slices = by_slice(frame, ["origin"], two_columns([-1.0] * 50), labels, CLASSES)["origin"]
    assert slices["JFK"] == {"rows": 50, "auc": None, "accuracy": 1.0, "late_share": 0.0}
