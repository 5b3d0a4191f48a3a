import math
from typing import Any

import pytest

from slipway.pipeline.spec import Margins
from slipway.training.verdict import judge

MARGINS = Margins(baseline=0.1, champion=0.002)


def outcome(own: Any, baseline: Any, champion: Any = None) -> tuple[str, tuple[str, ...]]:
    other = None if champion is None else {"version": "3", "auc": champion}
    verdict = judge("auc", {"auc": own}, {"auc": baseline}, other, MARGINS)
    return verdict.outcome, verdict.reasons


def test_a_model_that_beats_the_baseline_passes_when_there_is_no_champion() -> None:
    result, reasons = outcome(0.87, 0.58)
    assert result == "pass"
    assert reasons == ("auc 0.8700 against 0.5800 of the baseline: +0.2900, at least +0.1000 is asked for",)


def test_a_difference_equal_to_the_margin_is_enough() -> None:
    assert outcome(0.7, 0.6)[0] == "pass"
    assert outcome(0.802, 0.6, champion=0.8)[0] == "pass"


def test_a_model_within_the_baselines_margin_fails() -> None:
    assert outcome(0.699, 0.6)[0] == "fail"


def test_a_model_no_better_than_the_champion_fails_and_names_its_version() -> None:
    result, reasons = outcome(0.87, 0.58, champion=0.87)
    assert result == "fail"
    assert len(reasons) == 1
    assert "champion version 3" in reasons[0]


def test_every_failed_comparison_is_a_reason() -> None:
    assert len(outcome(0.5, 0.58, champion=0.87)[1]) == 2


@pytest.mark.parametrize("own", [None, math.nan, math.inf])
def test_a_metric_that_could_not_be_measured_never_passes(own: float | None) -> None:
    assert outcome(own, 0.0)[0] == "fail"


@pytest.mark.parametrize("other", [None, math.nan, -math.inf])
def test_an_opponent_that_could_not_be_measured_never_lets_a_model_pass(other: float | None) -> None:
    assert outcome(0.9, other)[0] == "fail"
    assert judge("auc", {"auc": 0.9}, {"auc": 0.5}, {"version": "3", "auc": other}, MARGINS).outcome == "fail"


def test_a_negative_margin_lets_a_slightly_worse_model_pass() -> None:
    margins = Margins(baseline=0.1, champion=-0.01)
    assert judge("auc", {"auc": 0.865}, {"auc": 0.5}, {"version": "3", "auc": 0.87}, margins).outcome == "pass"
