import base64
import datetime as dt
import json
import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.errors import EvidenceError
from slipway.ledger.bundle import check, pack, read
from slipway.ledger.envelope import sign
from slipway.ledger.trust import Trust, TrustedKey
from tests.simulators.chain import SIGNERS, START, TRUST, chain, fixed_key, signed
from tests.simulators.statements import at, statement

WHOLE = chain()
BUNDLE = pack(signed(WHOLE))


def verified(statements, trust=TRUST, **options):
    return check(read(pack(signed(statements))), trust, **options)


def index(stage, number=0):
    return [position for position, one in enumerate(WHOLE) if one.stage == stage][number]


def changed(position, **changes):
    return [replace(one, **changes) if number == position else one for number, one in enumerate(WHOLE)]


def without(*positions):
    return [one for number, one in enumerate(WHOLE) if number not in positions]


def test_a_whole_chain_verifies_from_the_release_down_to_the_ingested_data():
    found = check(read(BUNDLE), TRUST)
    assert found.statements[0] == WHOLE[-1]
    assert sorted(one.fingerprint for one in found.statements) == sorted(one.fingerprint for one in WHOLE)
    for statement_, makers in zip(found.statements, found.makers, strict=True):
        made = {output for maker in makers for output in found.statements[maker].outputs.items()}
        assert statement_.stage == "ingest" or statement_.materials.items() <= made


def test_the_same_statements_are_packed_to_the_same_bytes_in_whatever_order_they_come():
    assert pack(reversed(signed(WHOLE))) == pack(signed(WHOLE) * 2) == BUNDLE


@given(st.randoms(use_true_random=False))
@settings(max_examples=10)
def test_a_bundle_in_another_order_verifies_too(random):
    document = json.loads(BUNDLE)
    random.shuffle(document["envelopes"])
    assert len(check(read(json.dumps(document).encode()), TRUST).statements) == len(WHOLE)


def test_a_version_that_was_not_released_starts_at_its_registration():
    assert verified(WHOLE[:-1]).statements[0].stage == "register"


def test_a_walk_can_start_at_any_statement():
    features = WHOLE[: index("features") + 1]
    assert verified(features, start=features[-1].fingerprint).statements == tuple(reversed(features))
    with pytest.raises(EvidenceError, match="expected a statement with the fingerprint abc"):
        verified(features, start="abc")


def test_every_release_of_the_version_belongs_to_the_chain_and_the_newest_comes_first():
    again = statement("release", "version 1", materials=WHOLE[-1].materials, round=2)
    found = verified([*WHOLE, again])
    assert found.statements[0] == again
    assert WHOLE[-1] in found.statements


def test_two_makings_of_the_same_bytes_both_belong_to_the_chain():
    train = WHOLE[index("train")]
    other = statement("train", "run 2", materials=train.materials, outputs=train.outputs, lr2=3)
    assert len(verified([*WHOLE, other]).statements) == len(WHOLE) + 1


@pytest.mark.parametrize("position", range(len(WHOLE) - 1))
def test_whatever_statement_is_left_out_its_link_is_named(position):
    lost = WHOLE[position]
    with pytest.raises(EvidenceError, match="missing link") as caught:
        verified(without(position))
    assert any(name in str(caught.value) for name in lost.outputs), str(caught.value)


def test_a_bundle_without_release_and_registration_has_nothing_to_start_at():
    with pytest.raises(EvidenceError, match="release or register in the bundle to start at, got none"):
        verified(WHOLE[: index("register")])


@pytest.mark.parametrize("position", [number for number, one in enumerate(WHOLE) if one.stage != "ingest"])
def test_a_material_with_another_digest_than_was_made_is_a_missing_link(position):
    name = next(iter(WHOLE[position].materials))
    with pytest.raises(EvidenceError, match="missing link: material") as caught:
        verified(changed(position, materials={**WHOLE[position].materials, name: "0" * 64}))
    assert f"{name} (000000000000) of {WHOLE[position].stage}" in str(caught.value)


def test_a_stage_that_names_nothing_it_was_made_of_is_a_missing_link():
    with pytest.raises(EvidenceError, match=r"missing link: train of flight_delay, run 1 .* names nothing"):
        verified([one for one in changed(index("train"), materials={}) if one.stage not in {"ingest", "features"}])


def test_statements_that_are_made_only_of_one_another_never_come_to_data():
    first = statement("train", "a", materials={"y": "b" * 64}, outputs={"x": "a" * 64})
    second = statement("export", "b", materials={"x": "a" * 64}, outputs={"y": "b" * 64, "z": "c" * 64})
    register = statement("register", "v", materials={"z": "c" * 64})
    with pytest.raises(EvidenceError, match="never to ingested data"):
        verified([first, second, register])


def test_a_statement_that_hands_on_its_own_material_proves_nothing_by_itself():
    register = statement("register", "v", materials={"model": "a" * 64}, outputs={"model": "a" * 64})
    with pytest.raises(EvidenceError, match="missing link: material model"):
        verified([register])


def test_a_statement_that_does_not_belong_to_the_chain_is_named():
    other = statement("features", "2020-05-05", materials=WHOLE[0].outputs)
    with pytest.raises(EvidenceError, match=r"features of flight_delay, 2020-05-05 .* does not belong to release"):
        verified([*WHOLE, other])


def test_a_release_of_another_version_does_not_belong_to_the_chain():
    foreign = statement("release", "version 9", materials={"x": "a" * 64}, finished=START + dt.timedelta(seconds=1))
    with pytest.raises(EvidenceError, match=r"version 9 .* does not belong to release of flight_delay, version 1"):
        verified([*WHOLE, foreign])


def test_two_statements_with_one_fingerprint_and_different_outputs_are_an_alarm():
    train = WHOLE[index("train")]
    other = replace(train, outputs={"train/model.safetensors": "0" * 64})
    with pytest.raises(EvidenceError, match="two statements claim one fingerprint with different outputs: train"):
        verified([*WHOLE, other])


def test_outputs_that_may_vary_are_no_alarm():
    train = replace(WHOLE[index("train")], varying=["times.json"])
    first = replace(train, outputs={**train.outputs, "times.json": "1" * 64})
    second = replace(train, outputs={**train.outputs, "times.json": "2" * 64})
    assert len(verified([*without(index("train")), first, second]).statements) == len(WHOLE) + 1


def tampered(position, change):
    document = json.loads(BUNDLE)
    change(document["envelopes"][position])
    return json.dumps(document).encode()


@pytest.mark.parametrize("field", ["payload", "sig"])
@given(position=st.integers(0, len(WHOLE) - 1), data=st.data())
@settings(max_examples=60)
def test_whatever_byte_of_whatever_statement_changes_the_statement_is_named(field, position, data):
    def change(envelope):
        holder = envelope if field == "payload" else envelope["signatures"][0]
        content = bytearray(base64.b64decode(holder[field]))
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
        holder[field] = base64.b64encode(content).decode()

    with pytest.raises(EvidenceError, match=rf"^envelope {position + 1} of {len(WHOLE)}, .* was changed"):
        check(read(tampered(position, change)), TRUST)


@given(data=st.data())
@settings(max_examples=200)
def test_whatever_character_of_a_bundle_changes_it_is_refused(data):
    text = BUNDLE.decode().rstrip()
    position = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(max_codepoint=0x2FF).filter(lambda one: one not in (text[position], *" \n\t\r")))
    with pytest.raises(EvidenceError):
        check(read((text[:position] + other + text[position + 1 :]).encode()), TRUST)


@given(data=st.data())
@settings(max_examples=60)
def test_a_bundle_that_ends_early_is_unreadable(data):
    length = data.draw(st.integers(0, len(BUNDLE.rstrip()) - 1))
    with pytest.raises(EvidenceError, match="unreadable bundle"):
        read(BUNDLE[:length])


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe\x00",
        b"null",
        b"{}",
        b"[" * 100_000,
        b'{"mediaType": "text/plain", "envelopes": []}',
        b'{"mediaType": "application/vnd.slipway.bundle.v1+json", "envelopes": []}',
        b'{"mediaType": "application/vnd.slipway.bundle.v1+json", "envelopes": [{}]}',
    ],
)
def test_what_is_no_bundle_is_unreadable(content):
    with pytest.raises(EvidenceError, match="unreadable bundle"):
        read(content)


def test_a_statement_by_a_foreign_key_is_named():
    position = index("export")
    envelopes = [*signed(without(position)), sign(WHOLE[position], fixed_key("foreign"))]
    with pytest.raises(
        EvidenceError, match=r"claims to be 'export' of 'flight_delay', 'run 1': signed by a foreign key"
    ):
        check(read(pack(envelopes)), TRUST)


def test_a_release_by_the_build_key_is_named():
    envelopes = [*signed(WHOLE[:-1]), sign(WHOLE[-1], SIGNERS["build"])]
    with pytest.raises(EvidenceError, match=r"^envelope 1 of .*'release'.*: expected .* the role approval"):
        check(read(pack(envelopes)), TRUST)


def test_a_key_that_expired_before_a_statement_was_finished_is_named_and_one_that_expired_after_is_not():
    end = max(one.execution.finished for one in WHOLE)

    def expiring(moment):
        return Trust.of(*(TrustedKey(SIGNERS[role].public_key, role, expires=moment) for role in SIGNERS))

    assert check(read(BUNDLE), expiring(end + dt.timedelta(seconds=1)))
    with pytest.raises(EvidenceError, match=r"'release'.*: signed by an expired key"):
        check(read(BUNDLE), expiring(end))


def test_a_chain_whose_key_was_changed_on_the_way_verifies_with_both_keys_in_the_trust_file():
    new = fixed_key("new build")
    moment = WHOLE[index("train")].execution.finished
    old = [one for one in WHOLE if one.execution.finished < moment]
    later = [one for one in WHOLE[:-1] if one.execution.finished >= moment]
    envelopes = [*signed(old), *(sign(one, new) for one in later), *signed(WHOLE[-1:])]
    trust = Trust.of(
        TrustedKey(SIGNERS["build"].public_key, "build", expires=moment),
        TrustedKey(new.public_key, "build", created=moment),
        TrustedKey(SIGNERS["approval"].public_key, "approval"),
    )
    assert len(check(read(pack(envelopes)), trust).statements) == len(WHOLE)
    with pytest.raises(EvidenceError, match="expired key"):
        check(read(pack([*envelopes, sign(at(later[0], moment + dt.timedelta(seconds=9)), SIGNERS["build"])])), trust)


def test_a_year_of_days_is_verified_within_a_second_of_this_processes_time():
    content = pack(signed(chain(days=200)))
    started = time.process_time()
    found = check(read(content), TRUST)
    assert len(found.statements) > 400
    assert time.process_time() - started < 1.0
