import numpy as np
import pandas as pd
import pytest

from slipway.pipeline.spec import Baseline
from slipway.training.baseline import group_shares, majority, measure_baseline


def test_each_group_gets_its_own_share_and_an_unseen_one_the_overall_share() -> None:
    groups = pd.Series(["UA", "UA", "UA", "UA", "HA", "HA"])
    labels = np.array([1, 0, 0, 0, 1, 1])
    shares = group_shares(groups, labels, pd.Series(["HA", "UA", "YV"]), classes=2)
    assert shares == pytest.approx(np.array([[0.0, 1.0], [0.75, 0.25], [0.5, 0.5]]))


def test_a_class_the_training_rows_lack_has_share_zero() -> None:
    shares = group_shares(pd.Series(["a", "a"]), np.array([0, 2]), pd.Series(["a"]), classes=4)
    assert shares == pytest.approx(np.array([[0.5, 0.0, 0.5, 0.0]]))


def test_the_majority_is_the_most_frequent_training_class() -> None:
    assert majority(np.array([3, 1, 3]), rows=2, classes=4).argmax(axis=1).tolist() == [3, 3]


def test_the_baseline_learns_from_training_rows_and_is_measured_on_held_out_rows() -> None:
    training = pd.DataFrame({"carrier": ["UA"] * 4 + ["EV"] * 4})
    holdout = pd.DataFrame({"carrier": ["EV", "EV", "UA", "UA"]})
    measured = measure_baseline(
        Baseline(kind="group_share", column="carrier"),
        training=training,
        training_labels=np.array([0, 0, 0, 1, 1, 1, 1, 0]),
        holdout=holdout,
        holdout_labels=np.array([1, 1, 0, 1]),
        classes=2,
    )
    assert measured == {"kind": "group_share", "column": "carrier", "auc": pytest.approx(2.5 / 3), "accuracy": 0.75}


def test_the_majority_baseline_ranks_nothing() -> None:
    frame = pd.DataFrame({"any": [0, 0, 0, 0]})
    labels = np.array([0, 1, 1, 1])
    measured = measure_baseline(
        Baseline(kind="majority"),
        training=frame,
        training_labels=labels,
        holdout=frame,
        holdout_labels=labels,
        classes=2,
    )
    assert (measured["auc"], measured["accuracy"]) == (0.5, 0.75)
