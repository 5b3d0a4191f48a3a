"""Rows as files: which rows the later stages get, and how arrays are written so that equal rows give equal bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]
"""Model inputs by name; the first axis is rows."""

PREFIX = "input:"
GOLDEN_ROWS = 64
CALIBRATION_ROWS = 1024

_NEAR_TIES = 0.1


def pack(inputs: Arrays, **others: NDArray[Any]) -> bytes:
    """An ``.npz`` of model inputs (as ``input:<name>``) and other arrays (``labels``, ``logits``) under their names.

    Uncompressed; NumPy stamps members with a constant date, so the bytes depend on nothing but the arrays.
    """
    named = {f"{PREFIX}{name}": values for name, values in inputs.items()} | others
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **named)
    return buffer.getvalue()


def take(inputs: Arrays, rows: NDArray[np.intp]) -> dict[str, NDArray[Any]]:
    """The rows of every input."""
    return {name: values[rows] for name, values in inputs.items()}


def golden_rows(logits: NDArray[np.float32], count: int = GOLDEN_ROWS) -> NDArray[np.intp]:
    """Row numbers of a golden batch: at most ``count``, spread evenly over predicted classes and how sure they are.

    A device runs these rows before it switches, to prove that it computes what was trained. The tenth of the rows
    whose two best classes nearly tie is left out: an honest int8 artifact may decide those the other way.

    Args:
        logits: float32 [rows, classes].
    """
    ranked = np.sort(logits, axis=1)
    margin = ranked[:, -1] - ranked[:, -2]
    clear = np.flatnonzero(margin >= np.quantile(margin, _NEAR_TIES))
    order = clear[np.lexsort((margin[clear], logits[clear].argmax(axis=1)))]
    places = np.linspace(0, len(order) - 1, num=min(count, len(order)))
    chosen: NDArray[np.intp] = np.sort(order[places.round().astype(np.intp)])
    return chosen


def calibration_rows(rows: int, seed: int, count: int = CALIBRATION_ROWS) -> NDArray[np.intp]:
    """Row numbers of a calibration sample: at most ``count`` of ``rows``, drawn with the seed, in rising order."""
    drawn = np.random.default_rng(seed).choice(rows, size=min(count, rows), replace=False)
    chosen: NDArray[np.intp] = np.sort(drawn).astype(np.intp)
    return chosen
