"""Rows a model is measured on: what the training pod keeps as ``holdout.npz``, ``golden.npz``, ``calibration.npz``."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slipway.errors import CompileError
from slipway.training.arrays import PREFIX, Arrays

DTYPES = ("float32", "int64")
"""What a model module's ``encode`` may return."""


@dataclass(frozen=True)
class Samples:
    """Rows of model inputs, and what is known of them.

    Attributes:
        inputs: by the model's input name, first axis rows; float32 or int64.
        labels: int64 [rows], index of the true class.
        logits: float32 [rows, classes], PyTorch's answer.
    """

    inputs: Arrays
    labels: NDArray[np.int64] | None = None
    logits: NDArray[np.float32] | None = None

    @property
    def rows(self) -> int:
        return len(next(iter(self.inputs.values())))

    def batches(self, size: int) -> Iterator[Arrays]:
        """The inputs in order, at most ``size`` rows at a time."""
        for start in range(0, self.rows, size):
            yield {name: values[start : start + size] for name, values in self.inputs.items()}


def read_samples(data: bytes, name: str) -> Samples:
    """Read one ``.npz``; ``name`` is what messages call it. Nothing is unpickled.

    Raises:
        CompileError: it is no ``.npz``, holds no inputs, a wrong type, or axes of different length.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise CompileError(f"{name}: expected an .npz of plain arrays, got {len(data)} bytes: {error}") from error
    inputs = {key.removeprefix(PREFIX): value for key, value in arrays.items() if key.startswith(PREFIX)}
    if not inputs:
        raise CompileError(f"{name}: expected arrays named '{PREFIX}<name>', got {sorted(arrays) or 'none'}")
    for key, value in inputs.items():
        if value.dtype.name not in DTYPES:
            raise CompileError(f"{name}: input {key!r} is {value.dtype.name}, expected one of {', '.join(DTYPES)}")
    samples = Samples(inputs=inputs, labels=arrays.get("labels"), logits=arrays.get("logits"))
    lengths = {len(value) for value in (*inputs.values(), samples.labels, samples.logits) if value is not None}
    if len(lengths) != 1 or lengths == {0}:
        raise CompileError(f"{name}: expected arrays of one length above 0, got lengths {sorted(lengths)}")
    return samples


def answered(samples: Samples, name: str) -> NDArray[np.float32]:
    """PyTorch's logits of the samples.

    Raises:
        CompileError: the file holds none; without them nothing can be compared.
    """
    if samples.logits is None:
        raise CompileError(f"{name}: expected 'logits', PyTorch's answers, but there are none: train again")
    return samples.logits
