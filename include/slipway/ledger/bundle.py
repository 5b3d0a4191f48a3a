"""A version's whole chain as one file, and its verification, which needs the trust file and nothing else.

``{"mediaType": …, "envelopes": [DSSE envelope, …]}``: a release, the version it released, what that was compiled,
exported and trained from, the features and the ingested raw objects, newest first.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from securesystemslib.dsse import Envelope

from slipway.errors import EvidenceError
from slipway.ledger.envelope import from_dict, verified
from slipway.ledger.intoto import from_payload
from slipway.ledger.statement import Statement
from slipway.ledger.trust import Trust, TrustedKey

if TYPE_CHECKING:
    from slipway.ledger.recorded import Recorded

MEDIA_TYPE = "application/vnd.slipway.bundle.v1+json"
_STARTS = ("release", "register")
_ROOT = "ingest"
Material = tuple[str, str]
"""Name and sha256."""


@dataclass(frozen=True)
class Chain:
    """What a bundle proves."""

    statements: tuple[Statement, ...]
    """In the order of the walk; the first is where it starts."""
    makers: tuple[tuple[int, ...], ...]
    """Beside each statement, the positions of those that made its materials."""
    keys: tuple[TrustedKey, ...]
    """Beside each statement, the key that signed it."""


def pack(envelopes: Iterable[Envelope]) -> bytes:
    """One file of these envelopes, each once; the same envelopes give the same bytes.

    Raises:
        EvidenceError: one of them holds no statement.
    """
    found = {envelope.payload: envelope for envelope in envelopes}
    order = sorted(found, key=lambda content: (from_payload(content).execution.finished, content), reverse=True)
    document = {"mediaType": MEDIA_TYPE, "envelopes": [found[content].to_dict() for content in order]}
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def require_undisputed(chain: Iterable[Recorded]) -> None:
    """Refuse statements that others with the same fingerprint contradict; the others are not in the chain itself.

    Raises:
        EvidenceError: naming the first of them.
    """
    for recorded in chain:
        if recorded.disputed:
            raise EvidenceError(
                f"{title(recorded.statement)} is disputed: the ledger has another statement with its fingerprint and "
                "other outputs; find what its fingerprint does not cover, and make it again"
            )


def read(content: bytes) -> list[Envelope]:
    """The envelopes of a bundle, not verified.

    Raises:
        EvidenceError: it is no bundle, or an envelope of it is none.
    """
    try:
        document = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise EvidenceError(f"unreadable bundle: expected JSON, got something else: {error}") from error
    if not isinstance(document, dict) or document.keys() != {"mediaType", "envelopes"}:
        raise EvidenceError("unreadable bundle: expected mediaType and envelopes, got something else")
    if document["mediaType"] != MEDIA_TYPE:
        raise EvidenceError(f"unreadable bundle: expected {MEDIA_TYPE}, got {document['mediaType']!r}")
    if not isinstance(document["envelopes"], list) or not document["envelopes"]:
        raise EvidenceError("unreadable bundle: expected a list of envelopes, got none")
    return list(_envelopes(document["envelopes"]))


def check(envelopes: Sequence[Envelope], trust: Trust, start: str | None = None) -> Chain:
    """Verify every envelope, then follow every material to the statement that made it, down to the ingested data.

    A broken signature is named before a missing link, since what cannot be believed may be the link. Cost is linear
    in statements, materials and outputs.

    Args:
        envelopes: of one bundle, in its order.
        trust: whom to believe.
        start: fingerprint of the statement to start at; the newest release, or else the newest registration, if none.

    Raises:
        EvidenceError: naming the first broken link: an envelope that does not verify, two statements with one
            fingerprint and different outputs, no statement to start at, a material nothing here made, a chain that
            never comes to ingested data, a statement that does not belong to the chain.
    """
    signed = [_verified(envelopes, position, trust) for position in range(len(envelopes))]
    statements = [statement for statement, _ in signed]
    _require_no_dispute(statements)
    makers = _Makers(statements)
    first = _start(statements, start)
    order = makers.walk([first])
    others = [number for number, one in enumerate(statements) if one.stage == _STARTS[0] and number not in order]
    order |= makers.walk([number for number in others if makers.shares(number, order)], order)
    _require_rooted(statements, order)
    if stray := [one for number, one in enumerate(statements) if number not in order]:
        raise EvidenceError(f"{title(stray[0])} is in the bundle, but does not belong to {title(statements[first])}")
    position = {number: place for place, number in enumerate(order)}
    return Chain(
        tuple(statements[number] for number in order),
        tuple(tuple(position[maker] for maker in makers.of(number)) for number in order),
        tuple(signed[number][1] for number in order),
    )


def title(statement: Statement) -> str:
    """How a message calls a statement."""
    return f"{statement.stage} of {statement.pipeline}, {statement.subject} ({statement.fingerprint[:12]})"


class _Makers:
    """Which statement made what."""

    def __init__(self, statements: Sequence[Statement]) -> None:
        self._statements = statements
        self._made: dict[Material, list[int]] = defaultdict(list)
        for number, statement in enumerate(statements):
            for output in statement.outputs.items():
                self._made[output].append(number)

    def of(self, number: int) -> list[int]:
        """The makers of a statement's materials, each once, by the materials' names; none for ingested data.

        Raises:
            EvidenceError: a material has none.
        """
        statement = self._statements[number]
        if statement.stage == _ROOT:
            return []
        if not statement.materials:
            raise EvidenceError(f"missing link: {title(statement)} names nothing it was made of")
        found: dict[int, None] = {}
        for name, sha256 in sorted(statement.materials.items()):
            others = [maker for maker in self._made.get((name, sha256), ()) if maker != number]
            if not others:
                raise EvidenceError(
                    f"missing link: material {name} ({sha256[:12]}) of {title(statement)} is no output of any other "
                    "statement in the bundle"
                )
            found.update(dict.fromkeys(others))
        return list(found)

    def walk(self, starts: Iterable[int], known: Mapping[int, None] | None = None) -> dict[int, None]:
        """What the starts are made of, nearest first, themselves included, without what is known."""
        seen, pending = {**(known or {})}, list(starts)
        for number in pending:
            if number not in seen:
                seen[number] = None
                pending += self.of(number)
        return {number: None for number in seen if number not in (known or {})}

    def shares(self, number: int, order: Mapping[int, None]) -> bool:
        """Whether something that made a statement's materials is in the walk."""
        materials = self._statements[number].materials.items()
        return any(maker in order for material in materials for maker in self._made.get(material, ()))


def _envelopes(documents: list[Any]) -> Iterator[Envelope]:
    for number, document in enumerate(documents, start=1):
        try:
            yield from_dict(document)
        except EvidenceError as error:
            raise EvidenceError(f"unreadable bundle: envelope {number} of {len(documents)}: {error}") from error


def _verified(envelopes: Sequence[Envelope], position: int, trust: Trust) -> tuple[Statement, TrustedKey]:
    envelope = envelopes[position]
    try:
        return verified(envelope, trust)
    except EvidenceError as error:
        where = f"envelope {position + 1} of {len(envelopes)}, {_claimed(envelope)}"
        raise EvidenceError(f"{where}: {error}") from error


def _claimed(envelope: Envelope) -> str:
    """What an envelope that does not verify says it is, for a message; nothing is concluded from it."""
    try:
        asked = json.loads(envelope.payload)["predicate"]["buildDefinition"]["externalParameters"]
        # Whoever wrote this may not be trusted: nothing but quoted text reaches a terminal.
        return f"which claims to be {asked['stage']!r:.40} of {asked['pipeline']!r:.40}, {asked['subject']!r:.80}"
    except (ValueError, KeyError, TypeError, RecursionError):
        return "which claims nothing that can be read"


def _require_no_dispute(statements: Sequence[Statement]) -> None:
    known: dict[str, Statement] = {}
    for statement in statements:
        other = known.setdefault(statement.fingerprint, statement)
        if other.stable_digest != statement.stable_digest:
            raise EvidenceError(
                f"two statements claim one fingerprint with different outputs: {title(other)}, finished "
                f"{other.execution.finished} and {statement.execution.finished}"
            )


def _start(statements: Sequence[Statement], fingerprint: str | None) -> int:
    def newest(candidates: list[int]) -> int:
        return max(candidates, key=lambda number: statements[number].execution.finished)

    if fingerprint is not None:
        if named := [number for number, one in enumerate(statements) if one.fingerprint == fingerprint]:
            return newest(named)
        raise EvidenceError(f"expected a statement with the fingerprint {fingerprint} in the bundle, got none")
    for stage in _STARTS:
        if found := [number for number, one in enumerate(statements) if one.stage == stage]:
            return newest(found)
    raise EvidenceError(f"expected a statement of stage {' or '.join(_STARTS)} in the bundle to start at, got none")


def _require_rooted(statements: Sequence[Statement], order: Mapping[int, None]) -> None:
    """Everything must come from ingested data, not from one another in a circle."""
    users: dict[Material, list[int]] = defaultdict(list)
    awaited = dict.fromkeys(order, 0)
    for number in order:
        if statements[number].stage != _ROOT:
            awaited[number] = len(statements[number].materials)
            for material in statements[number].materials.items():
                users[material].append(number)
    rooted = [number for number in order if not awaited[number]]
    for number in rooted:
        for output in statements[number].outputs.items():
            for user in users.pop(output, ()):
                awaited[user] -= 1
                if not awaited[user]:
                    rooted.append(user)
    if circular := [number for number in order if awaited[number]]:
        raise EvidenceError(
            f"missing link: {title(statements[circular[0]])} leads back to itself and never to ingested data"
        )
