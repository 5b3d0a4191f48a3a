"""The golden batch: known rows with the trained model's answers, run on this device before it switches."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from slipway.device.manifest import Manifest
from slipway.device.runtime import Runtime, Session
from slipway.device.sensor import read_rows
from slipway.errors import IncompatibleError, SelfTestError, UnreadableDataError


def load_for(manifest: Manifest, folder: Path, runtime: Runtime) -> Session:
    """Load the artifact in ``folder`` and compare its inputs with its manifest.

    Raises:
        IncompatibleError: the runtime refuses it, or its inputs are not those of the manifest.
    """
    session = runtime.load(folder / manifest.artifact)
    if dict(session.inputs) != dict(manifest.inputs):
        raise IncompatibleError(
            f"expected inputs {dict(manifest.inputs)}, the artifact has {dict(session.inputs)}; compile it again"
        )
    return session


def golden_agreement(session: Session, golden: Path) -> float:
    """Share of the golden rows on which this device chooses the same class, in 0..1; one row at a time.

    Raises:
        SelfTestError: the golden batch is unreadable or does not fit the model.
    """
    try:
        data = golden.read_bytes()
        rows = read_rows(data)
        with np.load(golden, allow_pickle=False) as file:
            expected = file["logits"].argmax(axis=1)
    except (UnreadableDataError, OSError, KeyError, ValueError) as error:
        raise SelfTestError(f"expected a golden batch with inputs and logits, got: {error}; train again") from error
    if len(expected) == 0 or any(len(array) != len(expected) for array in rows.values()):
        raise SelfTestError("expected as many golden answers as golden rows, and at least one; train again")
    same = 0
    for row, answer in enumerate(expected):
        try:
            logits = session.run({name: array[row : row + 1] for name, array in rows.items()})
        except Exception as error:  # a runtime raises its own types
            raise SelfTestError(
                f"the model fails on golden row {row} ({type(error).__name__}); compile again"
            ) from error
        same += bool(np.isfinite(logits).all()) and int(logits[0].argmax()) == int(answer)
    return same / len(expected)


def require_agreement(agreement: float, manifest: Manifest) -> None:
    """Raise SelfTestError if ``agreement`` is below the manifest's bound."""
    if agreement < manifest.min_agreement:
        raise SelfTestError(
            f"expected agreement with the golden batch of at least {manifest.min_agreement:.3f}, "
            f"got {agreement:.3f} on this device; compile again or look at this kind of device"
        )
