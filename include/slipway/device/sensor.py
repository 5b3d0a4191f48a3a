"""Where a device's inputs come from."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from slipway.device.runtime import Tensors
from slipway.errors import UnreadableDataError

PREFIX = "input:"


class Sensor(Protocol):
    """Anything that gives encoded rows."""

    def read(self, rows: int) -> dict[str, NDArray[Any]]:
        """At most ``rows`` new rows as model inputs by name; no rows when there is nothing new.

        Raises:
            SlipwayError: the sensor has nothing to give now; the device tries again at its next step.
        """


SensorFor = Callable[[str], Sensor]
"""The sensor to read while running a given version; a device with one sensor ignores the version."""


class ReplaySensor:
    """Gives recorded rows again and again, starting at ``start`` so that devices differ."""

    def __init__(self, recorded: Tensors, start: int = 0) -> None:
        self._recorded = recorded
        self._rows = min((len(array) for array in recorded.values()), default=0)
        self._next = start

    def read(self, rows: int) -> dict[str, NDArray[Any]]:
        if self._rows == 0:
            return {}
        chosen = np.arange(self._next, self._next + rows) % self._rows
        self._next = int((self._next + rows) % self._rows)
        return {name: array[chosen] for name, array in self._recorded.items()}


def read_rows(data: bytes) -> dict[str, NDArray[Any]]:
    """The arrays named ``input:<name>`` of an ``.npz`` file, by name.

    Raises:
        UnreadableDataError: not an npz file, pickled objects inside, no inputs, or inputs of unequal length.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            rows = {key.removeprefix(PREFIX): file[key] for key in file.files if key.startswith(PREFIX)}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise UnreadableDataError(f"expected an npz file of recorded rows, got: {error}; record it again") from error
    if not rows or len({len(array) for array in rows.values()}) != 1:
        raise UnreadableDataError(f"expected arrays '{PREFIX}<name>' of one length, got {sorted(rows)}; record again")
    return rows
