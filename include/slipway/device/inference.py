"""Run a model on what the sensor gave, one row at a time, and measure each."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

import numpy as np

from slipway.device.events import InferenceTally
from slipway.device.runtime import Session, Tensors

_log = logging.getLogger(__name__)


def infer(session: Session, rows: Tensors, classes: Sequence[str], tally: InferenceTally) -> int:
    """Count every row's answer and latency, or its failure, in ``tally``; returns the rows tried.

    A row fails if the runtime raises or the logits are not one finite number per class.
    """
    count = max((len(array) for array in rows.values()), default=0)
    for row in range(count):
        started = time.perf_counter()
        try:
            logits = session.run({name: array[row : row + 1] for name, array in rows.items()})
        except Exception as error:  # a runtime raises its own types; one bad row must not stop the device
            _log.debug("inference failed: %s", type(error).__name__)
            tally.failed()
            continue
        latency_ms = (time.perf_counter() - started) * 1000
        if logits.shape != (1, len(classes)) or not np.isfinite(logits).all():
            tally.failed()
        else:
            tally.answered(latency_ms, classes[int(logits[0].argmax())])
    return count
