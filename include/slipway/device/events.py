"""The telemetry events of the gateway's wire format, as plain values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

Event = dict[str, Any]
Outcome = Literal["installed", "refused", "failed", "rolled_back"]
_REASON_CHARACTERS = 500


def update_event(
    *,
    version: str | None,
    previous: str | None,
    outcome: Outcome,
    release: str | None,
    reason: str | None = None,
    golden_agreement: float | None = None,
) -> Event:
    """One attempt to change the version this device runs, however it ended."""
    return {
        "kind": "update",
        "version": version,
        "from": previous,
        "outcome": outcome,
        "reason": None if reason is None else reason[:_REASON_CHARACTERS],
        "golden_agreement": golden_agreement,
        "release": release,
    }


def status_event(version: str | None, target: str) -> Event:
    """What this device runs now."""
    return {"kind": "status", "version": version, "target": target}


class InferenceTally:
    """Counts one version's inferences between two batches; latencies are in milliseconds."""

    def __init__(self, version: str) -> None:
        self.version = version
        self._latencies: list[float] = []
        self._predictions: Counter[str] = Counter()
        self._errors = 0

    def answered(self, latency_ms: float, label: str) -> None:
        self._latencies.append(latency_ms)
        self._predictions[label] += 1

    def failed(self) -> None:
        self._errors += 1

    @property
    def count(self) -> int:
        """Inferences tried."""
        return len(self._latencies) + self._errors

    def event(self) -> Event:
        return {
            "kind": "inference",
            "version": self.version,
            "count": self.count,
            "errors": self._errors,
            "latency_ms": _percentiles(self._latencies),
            "predictions": dict(self._predictions),
        }


def _percentiles(latencies: Sequence[float]) -> dict[str, float]:
    if not latencies:
        return {"p50": 0.0, "p95": 0.0, "max": 0.0}
    p50, p95 = np.percentile(latencies, [50, 95])
    return {"p50": round(float(p50), 4), "p95": round(float(p95), 4), "max": round(max(latencies), 4)}
