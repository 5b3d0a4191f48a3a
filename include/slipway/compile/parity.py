"""Is a compiled artifact still the model that was trained? Measured on rows training never saw, judged by bounds."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway.compile.samples import Samples, answered
from slipway.compile.targets.interface import Session
from slipway.errors import CompileError, ParityError
from slipway.pipeline.spec import Bounds
from slipway.training.metrics import accuracy, auc, probabilities

Metric = Callable[[NDArray[np.float32], NDArray[np.int64]], float | None]
"""Logits float32 [rows, classes] and labels int64 [rows] -> a number of which more is better."""

METRICS: Mapping[str, Metric] = {
    "auc": lambda logits, labels: auc(probabilities(logits), labels),
    "accuracy": accuracy,
}
"""By the names of ``training.metric``."""

_BATCH = 256
_WARM_UP = 20
_TIMED = 200


@dataclass(frozen=True)
class Parity:
    """An artifact compared with the PyTorch model.

    Attributes:
        agreement: share of held-out rows with the same predicted class.
        metric_loss: drop of the primary metric on those rows; below 0 where the artifact is better.
        p50_ms: median time for one row, milliseconds.
        bytes: size of the artifact.
        golden_agreement: ``agreement`` on the golden rows, which every device checks before it switches.
    """

    agreement: float
    metric_loss: float
    p50_ms: float
    bytes: int
    golden_agreement: float

    def as_json(self) -> dict[str, Any]:
        """Plain JSON; ``null`` stands for a number that is none (logits were not finite)."""
        return {name: value if math.isfinite(value) else None for name, value in asdict(self).items()}


def measure(session: Session, size: int, holdout: Samples, golden: Samples, metric: Metric) -> Parity:
    """Run an artifact of ``size`` bytes on the held-out and the golden rows.

    Raises:
        CompileError: labels or PyTorch's logits are missing, or the artifact cannot run.
    """
    if holdout.labels is None:
        raise CompileError("holdout.npz: expected 'labels', but there are none: train again")
    expected = answered(holdout, "holdout.npz")
    logits = run_all(session, holdout)
    return Parity(
        agreement=agreement(logits, expected),
        metric_loss=_score(metric, expected, holdout.labels) - _score(metric, logits, holdout.labels),
        p50_ms=median_latency(session, golden),
        bytes=size,
        golden_agreement=agreement(run_all(session, golden), answered(golden, "golden.npz")),
    )


def run_all(session: Session, samples: Samples) -> NDArray[np.float32]:
    """Logits float32 [rows, classes] of all rows, computed in batches."""
    return np.concatenate([session.run(batch) for batch in samples.batches(_BATCH)])


def agreement(logits: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Share of rows with the same class on top; a row with anything but finite logits agrees with nothing.

    Raises:
        CompileError: the shapes differ.
    """
    if logits.shape != expected.shape:
        raise CompileError(f"expected logits of shape {expected.shape}, the artifact gives {logits.shape}")
    same = (logits.argmax(axis=1) == expected.argmax(axis=1)) & np.isfinite(logits).all(axis=1)
    return float(same.mean())


def median_latency(session: Session, samples: Samples) -> float:
    """Median milliseconds for one row, over a fixed number of runs after a warm-up."""
    rows = itertools.cycle(samples.batches(1))
    for _ in range(_WARM_UP):
        session.run(next(rows))
    seconds = []
    for _ in range(_TIMED):
        row = next(rows)
        start = time.perf_counter()
        session.run(row)
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds)) * 1000.0


def broken_bounds(parity: Parity, bounds: Bounds, min_golden_agreement: float) -> tuple[str, ...]:
    """Every bound the artifact does not keep, in words. What is not a number keeps no bound."""
    checks = (
        (parity.agreement >= bounds.min_agreement, "agreement", parity.agreement, "at least", bounds.min_agreement),
        (
            parity.metric_loss <= bounds.max_metric_loss,
            "metric loss",
            parity.metric_loss,
            "at most",
            bounds.max_metric_loss,
        ),
        (parity.p50_ms <= bounds.max_p50_ms, "p50 ms", parity.p50_ms, "at most", bounds.max_p50_ms),
        (parity.bytes <= bounds.max_bytes, "bytes", parity.bytes, "at most", bounds.max_bytes),
        (
            parity.golden_agreement >= min_golden_agreement,
            "golden agreement",
            parity.golden_agreement,
            "at least",
            min_golden_agreement,
        ),
    )
    return tuple(
        f"{name}: {observed:.6g}, must be {word} {bound:.6g}"
        for kept, name, observed, word, bound in checks
        if not kept
    )


def require(target: str, parity: Parity, bounds: Bounds, min_golden_agreement: float) -> None:
    """Refuse an artifact outside the bounds.

    Raises:
        ParityError: names every broken bound.
    """
    broken = broken_bounds(parity, bounds, min_golden_agreement)
    if broken:
        raise ParityError(
            f"the artifact for {target} is not the model that was trained, {len(broken)} bound(s) broken:\n  "
            + "\n  ".join(broken)
            + f"\nchange the model, or the bounds of target {target!r} in the pipeline file"
        )


def _score(metric: Metric, logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    score = metric(logits, labels) if np.isfinite(logits).all() else None
    return float("nan") if score is None else score
