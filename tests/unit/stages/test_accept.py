"""The decision between training and everything after it."""

import logging

import pytest

from slipway.errors import ModelError, PodResultError
from slipway.stages.accept import accepted
from tests.unit.stages.trained import planned, train


@pytest.fixture
def plan(lake):
    return planned(lake)


def test_a_model_that_beat_what_it_was_compared_with_goes_on(lake, plan, caplog):
    caplog.set_level(logging.INFO)
    train(lake, plan)
    assert accepted(lake, plan) is True
    assert "model 0.8700, baseline 0.5800, champion none yet" in caplog.text
    assert f"2500 held-out rows ({plan.holdout[0]} to {plan.holdout[-1]})" in caplog.text


def test_a_model_that_did_not_is_not_registered_and_the_log_says_by_how_much(lake, plan, caplog):
    caplog.set_level(logging.INFO)
    why = "auc 0.8700 is not 0.002 above champion 3's 0.8690"
    champion = {"version": "3", "auc": 0.869}
    train(lake, plan, champion=champion, verdict={"outcome": "fail", "reasons": [why]})
    assert accepted(lake, plan) is False
    assert "champion 0.8690 (version 3)" in caplog.text
    assert "NOT REGISTERED" in caplog.text and why in caplog.text


@pytest.mark.parametrize("verdict", [None, {}, {"outcome": "inconclusive"}, {"outcome": True}, {"reasons": []}])
def test_anything_but_a_verdict_never_passes(lake, plan, verdict):
    train(lake, plan, verdict=verdict)
    with pytest.raises(ModelError, match=r"verdict pass or fail, got") as caught:
        accepted(lake, plan)
    assert not caught.value.retryable


def test_a_pod_that_left_no_result_is_not_judged(lake, plan):
    with pytest.raises(PodResultError, match="the pod ended without finishing its work"):
        accepted(lake, plan)


def test_an_evaluation_changed_after_the_pod_wrote_it_is_not_believed(lake, plan):
    train(lake, plan)
    lake.put(plan.output("train") / "evaluation.json", b'{"verdict": {"outcome": "pass"}}')
    with pytest.raises(PodResultError, match=r"evaluation\.json has sha256 .* it was changed"):
        accepted(lake, plan)
