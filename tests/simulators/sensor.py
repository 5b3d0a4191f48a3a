"""A sensor that gives what a test tells it to."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway.errors import SlipwayError


class SensorSimulator:
    """Implements ``slipway.device.sensor.Sensor``: ``fault`` is raised, otherwise seeded random rows."""

    def __init__(self, name: str = "x", width: int = 4, seed: int = 1) -> None:
        self._name = name
        self._random = np.random.default_rng(seed)
        self.width = width
        self.fault: SlipwayError | None = None

    def read(self, rows: int) -> dict[str, NDArray[Any]]:
        if self.fault is not None:
            raise self.fault
        return {self._name: self._random.standard_normal((rows, self.width)).astype(np.float32)}
