"""A signed statement: a DSSE envelope (https://github.com/secure-systems-lab/dsse) around its in-toto payload."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import json
from collections.abc import Mapping
from typing import Any

from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import Signature, Signer

from slipway.errors import EvidenceError, SlipwayError, UnavailableError
from slipway.ledger.intoto import from_payload, payload
from slipway.ledger.statement import Statement
from slipway.ledger.trust import Trust, TrustedKey, role_of

PAYLOAD_TYPE = "application/vnd.in-toto+json"


def sign(statement: Statement, signer: Signer) -> Envelope:
    """The statement in an envelope with one signature, under a millisecond with a key in a file.

    Raises:
        EvidenceError, ConfigurationError: the statement cannot be spelled, as ``slipway.ledger.intoto.payload`` says.
        UnavailableError: the key is in an HSM or a KMS that does not sign now.
    """
    envelope = Envelope(payload(statement), PAYLOAD_TYPE, {})
    try:
        envelope.sign(signer)
    except SlipwayError:
        raise
    except Exception as error:  # a KMS's or a token's library raises what it likes
        keyid = signer.public_key.keyid[:12]
        raise UnavailableError(f"key {keyid} did not sign: {type(error).__name__}: {error}; try again") from error
    return envelope


def verify(envelope: Envelope, trust: Trust) -> Statement:
    """The statement, if a key that is trusted for its stage signed exactly these bytes while the key was valid.

    A key's validity is compared with when the statement says its stage finished, so what a key signed in time stays
    proved after it expired. A key that was stolen must therefore leave the trust file.

    Raises:
        EvidenceError: another payload type, no signature, a foreign key, a changed byte, a key of another role, or
            one that was not valid yet or any more.
    """
    return verified(envelope, trust)[0]


def verified(envelope: Envelope, trust: Trust) -> tuple[Statement, TrustedKey]:
    """The same, and the key that signed it."""
    if envelope.payload_type != PAYLOAD_TYPE:
        raise EvidenceError(f"expected the payload type {PAYLOAD_TYPE}, got {envelope.payload_type!r}")
    key = _signing_key(envelope, trust)
    statement = from_payload(envelope.payload)
    _require_role(statement, key)
    _require_valid(statement.execution.finished, key)
    return statement, key


def to_json(envelope: Envelope) -> str:
    """The envelope as DSSE's JSON, on one line."""
    return json.dumps(envelope.to_dict(), separators=(",", ":"))


def from_json(text: str) -> Envelope:
    """Read what ``to_json`` wrote, without verifying it.

    Raises:
        EvidenceError: it is no envelope.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise EvidenceError(f"expected a DSSE envelope as JSON, got something else: {error}") from error
    return from_dict(document)


def from_dict(document: Any) -> Envelope:
    """The same of parsed JSON. Base64 that would decode but is not what an encoder writes is refused too.

    Raises:
        EvidenceError: it is no envelope.
    """
    _require_fields(document, {"payload": str, "payloadType": str, "signatures": list})
    signatures = {}
    for one in document["signatures"]:
        _require_fields(one, {"keyid": str, "sig": str})
        if one["keyid"] in signatures:
            raise EvidenceError(f"expected one signature by key {one['keyid'][:12]!r}, got several")
        signatures[one["keyid"]] = Signature(one["keyid"], _decoded("sig", one["sig"]).hex())
    return Envelope(_decoded("payload", document["payload"]), document["payloadType"], signatures)


def _signing_key(envelope: Envelope, trust: Trust) -> TrustedKey:
    if not envelope.signatures:
        raise EvidenceError("expected a signature, got none")
    trusted = [(trust.keys[keyid], one) for keyid, one in envelope.signatures.items() if keyid in trust.keys]
    if not trusted:
        foreign = ", ".join(repr(keyid[:12]) for keyid in envelope.signatures)
        raise EvidenceError(f"signed by a foreign key: {foreign} is not in the trust file")
    message = envelope.pae()
    for key, signature in trusted:
        try:
            key.public.verify_signature(signature, message)
        except UnverifiedSignatureError:
            continue
        return key
    raise EvidenceError(
        f"the payload or its signature was changed: the signature of key {trusted[0][0].keyid[:12]} does not verify"
    )


def _require_role(statement: Statement, key: TrustedKey) -> None:
    role = role_of(statement.stage)
    if key.role != role:
        raise EvidenceError(
            f"expected stage {statement.stage} to be signed by a key of the role {role}, got {key.keyid[:12]}, "
            f"which has the role {key.role}"
        )


def _require_valid(finished: dt.datetime, key: TrustedKey) -> None:
    if key.created is not None and finished < key.created:
        raise EvidenceError(
            f"signed by key {key.keyid[:12]} before it was valid: finished {finished}, key made {key.created}"
        )
    if key.expires is not None and finished >= key.expires:
        raise EvidenceError(f"signed by an expired key: {key.keyid[:12]} expired {key.expires}, finished {finished}")


def _require_fields(document: Any, fields: Mapping[str, type]) -> None:
    if (
        not isinstance(document, Mapping)
        or document.keys() != fields.keys()
        or not all(isinstance(document[name], kind) for name, kind in fields.items())
    ):
        raise EvidenceError(f"expected a DSSE envelope with exactly {', '.join(fields)}, got something else")


def _decoded(name: str, text: str) -> bytes:
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise EvidenceError(f"expected {name} in base64, got something else: {error}") from error
    if base64.b64encode(content).decode() != text:
        raise EvidenceError(f"expected {name} in canonical base64, got bits that say nothing")
    return content
