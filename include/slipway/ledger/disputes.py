"""Statements of one fingerprint that contradict each other: which counts, and what a person decided.

The first statement counts until somebody settles the dispute. Whatever contradicts it fails, and none is reused, since
nobody knows yet which is right. A settlement is a statement of stage ``settle`` about the fingerprint, signed with the
approval key: it keeps one digest over the stable outputs and rejects the others that were there. Another one that turns
up later is a new dispute.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from slipway.errors import UnrecordedError
from slipway.identity.canonical import canonical_json
from slipway.identity.digest import sha256_bytes
from slipway.identity.fingerprint import Ingredients
from slipway.ledger.statement import Execution, Statement

STAGE = "settle"
_BY_A_PERSON = "decided by a person"
_SHORTEST = 8


@dataclass(frozen=True)
class Standing:
    """How the statements of one fingerprint stand to each other; all digests are over stable outputs."""

    counts: str | None
    """The digest that every other statement of the fingerprint has to have; ``None``: there is none."""
    open: frozenset[str]
    """The digests that nobody rejected."""
    rejected: frozenset[str]

    @property
    def disputed(self) -> bool:
        """Whether somebody has to decide."""
        return len(self.open) > 1

    def refuses(self, stable_digest: str) -> bool:
        """Whether a statement with that digest must not be reused."""
        return self.disputed or stable_digest in self.rejected


def standing(claims: Sequence[Statement], settlements: Sequence[Statement]) -> Standing:
    """How the verified statements of a fingerprint stand, given its verified settlements; both oldest first."""
    stated = [one.stable_digest for one in claims]
    counts, rejected = next(iter(stated), None), frozenset[str]()
    if settlements:
        decided = settlements[-1].ingredients.parameters
        counts, rejected = decided["keep"], frozenset(decided["reject"])
    return Standing(counts, frozenset([*stated, counts] if counts else stated) - rejected, rejected)


def settlement(claims: Sequence[Statement], keep: str, reason: str, execution: Execution) -> Statement:
    """The statement that keeps, of some of one fingerprint, those whose outputs' digest begins with ``keep``.

    Raises:
        UnrecordedError: there is no statement, or ``keep`` does not name one of them.
    """
    kept = {one.stable_digest for one in claims if len(keep) >= _SHORTEST and one.outputs_digest.startswith(keep)}
    if len(kept) != 1:
        named = ", ".join(one.outputs_digest for one in claims) or "none"
        raise UnrecordedError(
            f"expected the outputs' digest of one statement, by {_SHORTEST} characters at least, got {keep!r}; the "
            f"ledger has: {named}"
        )
    fingerprint, pipeline = claims[0].fingerprint, claims[0].pipeline
    decision = {
        "keep": next(iter(kept)),
        "reject": sorted({one.stable_digest for one in claims} - kept),
        "reason": reason,
        # Whoever decides as before, after somebody decided otherwise, decides anew.
        "decided": execution.finished.isoformat(),
    }
    return Statement(
        ingredients=Ingredients(
            stage=STAGE,
            pipeline=pipeline,
            code={},
            parameters=decision,
            inputs={"fingerprint": fingerprint},
            environment=_BY_A_PERSON,
            hardware=_BY_A_PERSON,
        ),
        subject=fingerprint,
        outputs={f"settlements/{fingerprint}": sha256_bytes(canonical_json(decision))},
        materials={},
        execution=execution,
    )
