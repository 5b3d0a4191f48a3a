"""Whether what was made again is what was stated: bit for bit, else by what it does, within stated tolerances."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from slipway.identity.digest import sha256_bytes
from slipway.ledger.statement import Statement
from slipway.stages.landing import STAGE as FEATURES
from slipway.stages.reproduce import compare
from slipway.stages.reproduce.verdict import Compared, Judged, Outcome
from slipway.stages.works import EXPORT, TRAIN

FEATURE_RELATIVE = 1e-9
"""A sum of a day's few thousand doubles in another order is off by about 1e-13; anything this small decides nothing."""
TRAIN_AGREEMENT = 0.99
"""Share of held-out rows with the same class. Rounding of other kernels grows over the epochs, so weights are no
measure; two trainings that part in more rows than this are two models."""
TRAIN_METRIC = 0.002
"""Largest difference of the pipeline's metric: less than what a new model must beat a champion by."""
EXPORT_DIFFERENCE = 1e-3
"""Largest difference of a logit, relative to the largest: what the export itself asks for (slipway.compile.export)."""
Tolerance = tuple[bool, dict[str, float]]
Files = Mapping[str, bytes]


@dataclass(frozen=True)
class Made:
    """What a stage made again."""

    files: Files
    """Output name, as the statement has it -> bytes."""
    environment: tuple[str, ...] = ()
    """What differs between the environment of the first making and this one."""
    seconds: float = 0.0
    holdout: bytes | None = None
    """The held-out rows, for an export to answer."""


@dataclass(frozen=True)
class Kept:
    """What is kept of the first making."""

    content: Callable[[str], bytes | None]
    changed: Sequence[str] = field(default=())
    """Outputs that are not kept as they were stated."""


def unmade(statement: Statement, kept: Kept, outcome: Outcome, reason: str) -> Judged:
    """The verdict on what was not made again: it diverged all the same where it is not kept as it was stated."""
    if not kept.changed:
        return _judged(statement, outcome, reason=reason, outputs=len(statement.outputs) if outcome != "skipped" else 0)
    differing = [_compared(statement, kept, name, None) for name in kept.changed]
    return _judged(statement, "diverged", reason=_kept_wrong(differing), differing=tuple(differing))


def judge(statement: Statement, kept: Kept, made: Made) -> Judged:
    """The verdict on what was made again."""
    differing = [
        name for name in statement.outputs if sha256_bytes(made.files.get(name, b"")) != statement.outputs[name]
    ]
    compared = tuple(_compared(statement, kept, name, made) for name in dict.fromkeys([*kept.changed, *differing]))
    more = {"environment": made.environment, "seconds": made.seconds, "outputs": len(statement.outputs)}
    if kept.changed:
        return _judged(statement, "diverged", reason=_kept_wrong(compared), differing=compared, **more)
    missing = [name for name in differing if name not in made.files]
    if missing:
        reason = f"{missing[0]} was made then, and was not made now"
        return _judged(statement, "diverged", reason=reason, differing=compared, **more)
    close, numbers = _within(statement, kept, made) if differing else (True, {})
    outcome = _outcome(statement, compared, made, close)
    return _judged(statement, outcome, differing=compared, numbers=numbers, **more)


def _outcome(statement: Statement, compared: Sequence[Compared], made: Made, close: bool) -> Outcome:
    telling = [one for one in compared if one.facts]
    if not telling:
        return "identical"
    if not close:
        return "diverged"
    # On a CPU the same code in the same environment gives the same bits, so nothing but another one explains others.
    explained = bool(made.environment) or all(one.name in statement.varying for one in telling)
    return "within tolerance" if explained else "diverged"


def _within(statement: Statement, kept: Kept, made: Made) -> Tolerance:
    """Whether it does the same, and the numbers; what cannot be read or run does not."""
    try:
        return _does_the_same(statement, kept, made)
    except Exception:  # readers of five formats, and a runtime, raise what they like at a broken file
        return False, {}


def _does_the_same(statement: Statement, kept: Kept, made: Made) -> Tolerance:
    before = {_short(name): content for name in statement.outputs if (content := kept.content(name)) is not None}
    after = {_short(name): content for name, content in made.files.items()}
    if statement.stage == FEATURES:
        return all(compare.tables_close(before[name], after[name], FEATURE_RELATIVE) for name in before), {}
    if statement.stage == TRAIN:
        return _training(statement, before, after)
    if statement.stage == EXPORT:
        return _exporting(before["model.onnx"], after["model.onnx"], made.holdout)
    return _compiling(statement, before, after)


def _training(statement: Statement, before: Files, after: Files) -> Tolerance:
    one, other = (compare.read_arrays(files["holdout.npz"]) for files in (before, after))
    if one.keys() != other.keys() or any(
        not np.array_equal(one[name], other[name]) for name in one.keys() - {"logits"}
    ):
        return False, {}
    metric = str(statement.ingredients.parameters["metric"])
    scores = [float(json.loads(files["evaluation.json"])["metrics"][metric]) for files in (before, after)]
    numbers = {
        "agreement": float((one["logits"].argmax(1) == other["logits"].argmax(1)).mean()),
        "largest difference of a logit": compare.largest_difference(one["logits"], other["logits"]),
        f"difference of {metric}": abs(scores[1] - scores[0]),
    }
    close = numbers["agreement"] >= TRAIN_AGREEMENT and numbers[f"difference of {metric}"] <= TRAIN_METRIC
    return close, numbers


def _exporting(before: bytes, after: bytes, holdout: bytes | None) -> Tolerance:
    from slipway.compile.onnx_session import OnnxSession
    from slipway.compile.parity import run_all
    from slipway.compile.samples import read_samples

    if holdout is None:
        return False, {}
    samples = read_samples(holdout, "holdout.npz")
    one, other = (run_all(OnnxSession(model), samples) for model in (before, after))
    numbers = {
        "agreement": float((one.argmax(1) == other.argmax(1)).mean()),
        "largest difference of a logit": compare.largest_difference(one, other),
    }
    limit = EXPORT_DIFFERENCE * max(1.0, float(np.abs(one).max()))
    return numbers["largest difference of a logit"] <= limit, numbers


def _compiling(statement: Statement, before: Files, after: Files) -> Tolerance:
    """An artifact's own report says how it answers, compared with PyTorch on the same held-out rows."""
    reports = [json.loads(files["report.json"]) for files in (before, after)]
    numbers = {
        f"{name} {when}": float(report[name])
        for name in ("golden_agreement", "agreement", "p50_ms")
        for when, report in zip(("then", "now"), reports, strict=True)
        if report.get(name) is not None
    }
    least = float(statement.ingredients.parameters["min_golden_agreement"])
    bounds = statement.ingredients.parameters["bounds"]
    close = numbers.get("golden_agreement now", 0.0) >= least
    return close and numbers.get("agreement now", 0.0) >= float(bounds["min_agreement"]), numbers


def _compared(statement: Statement, kept: Kept, name: str, made: Made | None) -> Compared:
    before, after = kept.content(name), made.files.get(name) if made else None
    return Compared(
        name=name,
        stated=statement.outputs[name],
        stored=None if before is None else sha256_bytes(before),
        made=None if after is None else sha256_bytes(after),
        facts=() if before is None or after is None else compare.facts(name, before, after),
    )


def _kept_wrong(differing: Sequence[Compared]) -> str:
    first = differing[0]
    if first.stored is None:
        return f"{first.name} is not kept any more"
    remade = {None: "", first.stated: "; made again it is as stated"}.get(first.made, "; made again it differs too")
    facts = f" ({'; '.join(first.facts)})" if first.facts else ""
    return f"{first.name} is kept as {first.stored[:12]}, stated was {first.stated[:12]}{remade}{facts}"


def _judged(statement: Statement, outcome: Outcome, **more: object) -> Judged:
    outputs = more.pop("outputs", len(statement.outputs))
    return Judged(statement.stage, statement.subject, statement.fingerprint, outcome, outputs, **more)  # type: ignore[arg-type]


def _short(name: str) -> str:
    """An output's name without the folder of its work."""
    return name.split("/", 3)[-1] if name.startswith("models/") else name
