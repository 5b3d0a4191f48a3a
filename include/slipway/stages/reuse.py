"""Hit or miss: whether a stage has to run, and why.

Nothing is made twice: a stage whose fingerprint the ledger knows, and whose outputs are still there, returns them. A
small share of hits is made again all the same, so that a fingerprint which leaves something out is noticed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from slipway.errors import EvidenceError
from slipway.identity.digest import sha256_bytes
from slipway.identity.explain import closest, differences, explain
from slipway.identity.fingerprint import Ingredients
from slipway.ledger.statement import Statement
from slipway.ledger.store import Ledger

_LOG = logging.getLogger(__name__)

Outcome = Literal["hit", "miss", "force", "recheck", "adopted"]
_MOST_DIFFERENCES = 12
"""Named in full; the others are counted."""


@dataclass(frozen=True)
class Reuse:
    """What was decided on one stage of one subject, and the reasons, for people."""

    stage: str
    subject: str
    fingerprint: str
    outcome: Outcome
    """``recheck``: a hit that is made again and compared; ``adopted``: an earlier try of the same run had made it."""
    reasons: tuple[str, ...]
    statement: Statement | None = None
    """Whose outputs are there, and are returned."""

    @property
    def hit(self) -> bool:
        """Whether nothing has to be made."""
        return self.outcome in ("hit", "adopted")

    def __str__(self) -> str:
        return f"{self.outcome}: {'; '.join(self.reasons)}"

    def brief(self) -> dict[str, Any]:
        """What the web interface shows."""
        return {
            "stage": self.stage,
            "subject": self.subject,
            "fingerprint": self.fingerprint,
            "outcome": self.outcome,
            "reasons": list(self.reasons),
        }


Present = Callable[[Statement], str | None]
"""Names the first object that is no longer as a statement says; ``None`` when all are."""


def decide(
    ledger: Ledger,
    ingredients: Ingredients,
    subject: str,
    present: Present,
    *,
    force: bool = False,
    recheck: float = 0.0,
    run_id: str = "",
    across: bool = False,
) -> Reuse:
    """Decide on one stage, and log it.

    ``across`` has a subject that was never made compared with the stage's other subjects: the days of a training move
    on, and what else has changed is worth knowing, whereas one day's rows never were another's.
    ``recheck`` is the share of hits that are made again; which ones depends on fingerprint and ``run_id`` alone, so
    that a retry decides likewise.

    Raises:
        UnavailableError: the ledger or what ``present`` asks does not answer.
    """
    fingerprint = ingredients.fingerprint()
    outcome, reasons, statement = _decide(ledger, ingredients, subject, present, across=across)
    if force:
        outcome, reasons, statement = "force", ("asked for by the run's form or conf", *reasons), None
    elif outcome == "hit" and chosen(fingerprint, run_id, recheck):
        outcome, statement = "recheck", None
        reasons = (f"one of the {recheck:.1%} of hits that are made again and compared", *reasons)
    reuse = Reuse(ingredients.stage, subject, fingerprint, outcome, reasons, statement)
    _LOG.info("%s of %s, fingerprint %s: %s", reuse.stage, subject, fingerprint[:12], reuse)
    return reuse


def chosen(fingerprint: str, run_id: str, share: float) -> bool:
    """Whether this run makes a hit again."""
    drawn = int(sha256_bytes(f"{fingerprint} {run_id}".encode())[:13], 16) / 16**13
    return drawn < share


def _decide(
    ledger: Ledger, ingredients: Ingredients, subject: str, present: Present, *, across: bool
) -> tuple[Outcome, tuple[str, ...], Statement | None]:
    try:
        found = ledger.find(ingredients.fingerprint())
    except EvidenceError as error:
        return "miss", (f"the statement of this fingerprint proves nothing: {error}",), None
    if found is None:
        return "miss", _changed(ledger, ingredients, subject, across), None
    if found.disputed:
        return "miss", ("statements of this fingerprint have different outputs, so none is reused",), None
    if gone := present(found.statement):
        return "miss", (f"made before, but {gone} is not as it was made",), None
    ran = found.statement.execution
    reason = f"same fingerprint as {ran.dag_id} {ran.run_id}, finished {ran.finished:%Y-%m-%d %H:%M:%S} UTC"
    return "hit", (reason,), found.statement


def _changed(ledger: Ledger, ingredients: Ingredients, subject: str, across: bool) -> tuple[str, ...]:
    pipeline, stage = ingredients.pipeline, ingredients.stage
    candidates = [one.ingredients for one in ledger.near(pipeline, stage, subject, across=across)]
    nearest = closest(ingredients, candidates)
    if nearest is None:
        if subject in ledger.known(pipeline, stage, {subject}):
            return (f"earlier statements of {stage} of {subject} prove nothing: none verifies",)
        return (f"no {stage} of {pipeline} was made before" if across else f"nothing was made of {subject} before",)
    return (explain(differences(nearest, ingredients), most=_MOST_DIFFERENCES),)
