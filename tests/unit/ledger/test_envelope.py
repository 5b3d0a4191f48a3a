import base64
import datetime as dt
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner

from slipway.errors import EvidenceError
from slipway.ledger.envelope import from_json, sign, to_json, verify
from slipway.ledger.trust import Trust, TrustedKey
from tests.simulators.statements import NOON, at, statement

BUILD, APPROVAL, FOREIGN = (CryptoSigner.generate_ed25519() for _ in range(3))
TRUST = Trust.of(TrustedKey(BUILD.public_key, "build"), TrustedKey(APPROVAL.public_key, "approval"))
MADE = statement()
ENVELOPE = sign(MADE, BUILD)


def again(envelope, **changes):
    document = envelope.to_dict()
    return Envelope.from_dict({**document, **changes})


def test_a_signed_statement_verifies_and_comes_back_as_it_was():
    assert verify(ENVELOPE, TRUST) == MADE
    assert verify(from_json(to_json(ENVELOPE)), TRUST) == MADE


def test_the_same_statement_is_signed_to_the_same_bytes():
    assert to_json(sign(statement(), BUILD)) == to_json(ENVELOPE)


@given(st.data())
def test_whatever_byte_of_the_payload_changes_it_is_refused(data):
    changed = bytearray(ENVELOPE.payload)
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(EvidenceError, match="changed"):
        verify(again(ENVELOPE, payload=base64.b64encode(changed).decode()), TRUST)


@given(st.integers(0, 63), st.integers(1, 255))
def test_whatever_byte_of_the_signature_changes_it_is_refused(position, mask):
    document = ENVELOPE.to_dict()
    signature = bytearray(base64.b64decode(document["signatures"][0]["sig"]))
    signature[position] ^= mask
    document["signatures"][0]["sig"] = base64.b64encode(signature).decode()
    with pytest.raises(EvidenceError, match="changed"):
        verify(from_json(json.dumps(document)), TRUST)


@given(st.data())
def test_whatever_character_of_the_envelope_changes_it_is_refused(data):
    text = to_json(ENVELOPE)
    position = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(max_codepoint=0x2FF).filter(lambda one: one not in (text[position], " \n\t\r")))
    with pytest.raises(EvidenceError):
        verify(from_json(text[:position] + other + text[position + 1 :]), TRUST)


def test_a_foreign_key_is_refused():
    with pytest.raises(EvidenceError, match="foreign key"):
        verify(sign(MADE, FOREIGN), TRUST)


def test_a_foreign_key_under_the_id_of_a_trusted_one_is_refused():
    forged = sign(MADE, FOREIGN)
    (signature,) = forged.signatures.values()
    signature.keyid = BUILD.public_key.keyid
    with pytest.raises(EvidenceError, match="changed"):
        verify(Envelope(forged.payload, forged.payload_type, {signature.keyid: signature}), TRUST)


@pytest.mark.parametrize(
    ("stage", "signer", "role"),
    [("train", APPROVAL, "build"), ("release", BUILD, "approval"), ("x", APPROVAL, "build")],
)
def test_a_key_of_another_role_is_refused(stage, signer, role):
    with pytest.raises(EvidenceError, match=f"by a key of the role {role}"):
        verify(sign(statement(stage), signer), TRUST)


def test_a_release_is_signed_by_the_approval_key():
    assert verify(sign(statement("release"), APPROVAL), TRUST).stage == "release"


def test_a_signature_by_a_foreign_key_beside_a_good_one_does_not_matter():
    both = sign(MADE, BUILD)
    both.sign(FOREIGN)
    assert verify(both, TRUST) == MADE


def test_a_missing_signature_is_refused():
    with pytest.raises(EvidenceError, match="expected a signature, got none"):
        verify(again(ENVELOPE, signatures=[]), TRUST)


def test_another_payload_type_is_refused_even_when_it_is_signed():
    envelope = Envelope(ENVELOPE.payload, "application/json", {})
    envelope.sign(BUILD)
    with pytest.raises(EvidenceError, match="payload type"):
        verify(envelope, TRUST)


def test_something_else_than_a_statement_is_refused_even_when_it_is_signed():
    envelope = Envelope(b'{"_type": "https://in-toto.io/Statement/v1"}', ENVELOPE.payload_type, {})
    envelope.sign(BUILD)
    with pytest.raises(EvidenceError, match="expected a statement of slipway:stage/v1"):
        verify(envelope, TRUST)


def test_a_key_is_trusted_for_what_finished_while_it_was_valid():
    second = dt.timedelta(seconds=1)
    trust = Trust.of(TrustedKey(BUILD.public_key, "build", created=NOON, expires=NOON + 60 * second))
    for finished in (NOON, NOON + 59 * second):
        assert verify(sign(at(MADE, finished), BUILD), trust).execution.finished == finished
    with pytest.raises(EvidenceError, match="before it was valid"):
        verify(sign(at(MADE, NOON - second), BUILD), trust)
    for finished in (NOON + 60 * second, NOON + dt.timedelta(days=1)):
        with pytest.raises(EvidenceError, match="expired key"):
            verify(sign(at(MADE, finished), BUILD), trust)


def test_an_old_key_stays_trusted_beside_the_one_that_followed_it():
    new = CryptoSigner.generate_ed25519()
    trust = Trust.of(
        TrustedKey(BUILD.public_key, "build", expires=NOON + dt.timedelta(days=1)),
        TrustedKey(new.public_key, "build", created=NOON + dt.timedelta(days=1)),
    )
    later = at(MADE, NOON + dt.timedelta(days=2))
    assert verify(ENVELOPE, trust) == MADE
    assert verify(sign(later, new), trust) == later
    with pytest.raises(EvidenceError, match="expired"):
        verify(sign(later, BUILD), trust)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "[" * 100_000,
        '{"payload": "", "payloadType": "", "signatures": [1]}',
        '{"payload": "é", "payloadType": "", "signatures": []}',
        '{"payload": "QQ", "payloadType": "", "signatures": []}',
        '{"payload": "QR==", "payloadType": "", "signatures": []}',
    ],
)
def test_what_is_no_envelope_is_refused(text):
    with pytest.raises(EvidenceError):
        from_json(text)


def test_two_signatures_by_one_key_are_refused():
    document = ENVELOPE.to_dict()
    document["signatures"] *= 2
    with pytest.raises(EvidenceError, match="got several"):
        from_json(json.dumps(document))


def test_signing_takes_about_a_millisecond():
    started = time.perf_counter()
    for _ in range(100):
        sign(MADE, BUILD)
    assert time.perf_counter() - started < 1.0, "a hundred; a tenth of that on a quiet machine"
