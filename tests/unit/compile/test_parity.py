from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from slipway.compile.onnx_session import OnnxSession
from slipway.compile.parity import METRICS, Parity, agreement, broken_bounds, measure, require
from slipway.errors import CompileError, ParityError
from slipway.pipeline.spec import Bounds

BOUNDS = Bounds(min_agreement=0.99, max_metric_loss=0.01, max_p50_ms=5.0, max_bytes=1000)
GOOD = Parity(agreement=0.99, metric_loss=0.01, p50_ms=5.0, bytes=1000, golden_agreement=0.97)


class Answers:
    """A session that answers with the samples' own logits, changed by ``change``."""

    def __init__(self, model, change):
        self._session, self._change = OnnxSession(model), change

    def run(self, inputs):
        return self._change(self._session.run(inputs))


def test_an_artifact_on_every_bound_is_accepted():
    assert broken_bounds(GOOD, BOUNDS, 0.97) == ()
    require("x86-cpu", GOOD, BOUNDS, 0.97)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"agreement": 0.98}, "agreement: 0.98, must be at least 0.99"),
        ({"metric_loss": 0.02}, "metric loss: 0.02, must be at most 0.01"),
        ({"p50_ms": 5.1}, "p50 ms: 5.1, must be at most 5"),
        ({"bytes": 1001}, "bytes: 1001, must be at most 1000"),
        ({"golden_agreement": 0.96}, "golden agreement: 0.96, must be at least 0.97"),
        ({"agreement": float("nan")}, "agreement: nan"),
        ({"metric_loss": float("nan")}, "metric loss: nan"),
    ],
)
def test_one_broken_bound_is_named(change, message):
    (broken,) = broken_bounds(dataclasses.replace(GOOD, **change), BOUNDS, 0.97)
    assert message in broken


def test_the_error_lists_every_broken_bound():
    bad = Parity(agreement=0.5, metric_loss=0.3, p50_ms=9.0, bytes=5000, golden_agreement=0.1)
    with pytest.raises(ParityError, match="5 bound") as caught:
        require("x86-cpu-int8", bad, BOUNDS, 0.97)
    for words in ("agreement: 0.5", "metric loss: 0.3", "p50 ms: 9", "bytes: 5000", "golden agreement: 0.1"):
        assert words in str(caught.value)
    assert "x86-cpu-int8" in str(caught.value)


def test_the_model_itself_agrees_with_itself(model, make_samples):
    parity = measure(OnnxSession(model), len(model), make_samples(300, 5), make_samples(20, 6), METRICS["auc"])
    assert (parity.agreement, parity.metric_loss, parity.golden_agreement) == (1.0, 0.0, 1.0)
    assert 0 < parity.p50_ms < 50
    assert parity.bytes == len(model)


def test_an_artifact_that_answers_the_opposite_loses_everything(model, make_samples):
    opposite = Answers(model, lambda logits: -logits)
    parity = measure(opposite, 10, make_samples(300, 5), make_samples(20, 6), METRICS["accuracy"])
    assert parity.agreement == 0.0
    assert parity.golden_agreement == 0.0
    assert parity.metric_loss == pytest.approx(0.8, abs=0.1)


def test_an_artifact_that_answers_not_a_number_keeps_no_bound_and_reports_null(model, make_samples):
    broken = Answers(model, lambda logits: np.full_like(logits, np.nan))
    parity = measure(broken, 10, make_samples(50, 5), make_samples(20, 6), METRICS["auc"])
    assert parity.agreement == 0.0
    assert parity.as_json()["metric_loss"] is None
    assert any("metric loss" in line for line in broken_bounds(parity, BOUNDS, 0.97))


def test_logits_of_another_shape_are_refused():
    with pytest.raises(CompileError, match=r"shape \(4, 2\), the artifact gives \(4, 3\)"):
        agreement(np.zeros((4, 3), np.float32), np.zeros((4, 2), np.float32))


def test_held_out_rows_without_labels_are_refused(model, make_samples):
    samples = dataclasses.replace(make_samples(10, 5), labels=None)
    with pytest.raises(CompileError, match="expected 'labels'"):
        measure(OnnxSession(model), 10, samples, samples, METRICS["auc"])
