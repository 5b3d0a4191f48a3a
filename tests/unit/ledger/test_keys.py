import datetime as dt
import importlib.util
import json
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from securesystemslib.signer import CryptoSigner, _aws_signer

from slipway.connections import SigningKeys
from slipway.errors import ConfigurationError, UnavailableError
from slipway.ledger.envelope import sign, verify
from slipway.ledger.keys import ensure_keys, expire_key, public_key, signer, trust_key
from slipway.ledger.trust import Trust
from tests.simulators.statements import at, statement

NOW = dt.datetime.now(dt.UTC)


@pytest.fixture
def keys(tmp_path: Path) -> SigningKeys:
    return ensure_keys(SigningKeys.in_folder(tmp_path / "keys"))


def trust(keys: SigningKeys) -> Trust:
    return Trust.load(Path(keys.trust))


def mode(path: str | Path) -> int:
    return stat.S_IMODE(Path(path).stat().st_mode)


def test_the_first_start_makes_two_different_keys_only_their_owner_can_read(keys):
    assert mode(Path(keys.build).parent) == 0o700
    assert mode(keys.build) == mode(keys.approval) == 0o600
    assert public_key(keys.build).keyid != public_key(keys.approval).keyid
    assert b"-----BEGIN PRIVATE KEY-----" in Path(keys.build).read_bytes()


def test_what_they_sign_is_trusted_each_for_its_role(keys):
    made = at(statement(), dt.datetime.now(dt.UTC))
    released = at(statement("release"), dt.datetime.now(dt.UTC))
    assert verify(sign(made, signer(keys, "build")), trust(keys)) == made
    assert verify(sign(released, signer(keys, "approval")), trust(keys)) == released


def test_a_second_start_changes_nothing(keys):
    before = {path: path.read_bytes() for path in Path(keys.build).parent.iterdir()}
    ensure_keys(keys)
    assert {path: path.read_bytes() for path in Path(keys.build).parent.iterdir()} == before


def test_starts_at_once_make_one_pair_of_keys(tmp_path):
    program = (
        "import sys; from pathlib import Path; from slipway.connections import SigningKeys; "
        "from slipway.ledger.keys import ensure_keys, public_key; "
        "keys = ensure_keys(SigningKeys.in_folder(Path(sys.argv[1]))); "
        "print(public_key(keys.build).keyid, public_key(keys.approval).keyid)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "keys")]
    environment = {**os.environ, "PYTHONPATH": "include"}
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) for _ in range(3)]
    said = {one.communicate(timeout=120)[0] for one in started}
    assert len(said) == 1
    assert len(trust(SigningKeys.in_folder(tmp_path / "keys")).keys) == 2


def test_a_key_that_was_taken_away_is_followed_by_another_and_stays_trusted(keys):
    old = signer(keys, "build")
    Path(keys.build).unlink()
    ensure_keys(keys)
    assert signer(keys, "build").public_key.keyid != old.public_key.keyid
    made = at(statement(), dt.datetime.now(dt.UTC))
    assert verify(sign(made, old), trust(keys)) == made


def test_a_key_file_of_ones_own_is_used_and_trusted_for_all_time(tmp_path):
    keys = SigningKeys.in_folder(tmp_path)
    own = CryptoSigner.generate_ed25519()
    Path(keys.build).write_bytes(own.private_bytes)
    Path(keys.build).chmod(0o600)
    ensure_keys(keys)
    assert Path(keys.build).read_bytes() == own.private_bytes
    assert trust(keys).keys[own.public_key.keyid].created is None


def test_a_key_of_another_kind_signs_too(tmp_path):
    keys = SigningKeys.in_folder(tmp_path)
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    Path(keys.build).write_bytes(pem)
    Path(keys.build).chmod(0o600)
    ensure_keys(keys)
    assert verify(sign(statement(), signer(keys, "build")), trust(keys)) == statement()


def test_one_key_for_both_roles_is_refused(keys):
    Path(keys.approval).write_bytes(Path(keys.build).read_bytes())
    with pytest.raises(ConfigurationError, match="who builds must not be able to approve"):
        ensure_keys(keys)


def test_a_key_that_nobody_trusts_does_not_sign(keys, tmp_path):
    other = ensure_keys(SigningKeys.in_folder(tmp_path / "other"))
    with pytest.raises(ConfigurationError, match="does not name it; run `slipway keys trust build"):
        signer(replace(keys, build=other.build), "build")
    with pytest.raises(ConfigurationError, match="has the role approval"):
        signer(replace(keys, build=keys.approval), "build")


def test_a_key_is_trusted_by_hand_and_its_expiry_said_later(keys, tmp_path):
    other = ensure_keys(SigningKeys.in_folder(tmp_path / "other"))
    both = replace(keys, build=other.build)
    added = trust_key(Path(keys.trust), "build", other.build)
    assert signer(both, "build").public_key.keyid == added.keyid
    expire_key(Path(keys.trust), added.keyid[:10], NOW)
    assert trust_key(Path(keys.trust), "build", other.build).expires == NOW, "trusting it again changes nothing"
    with pytest.raises(ConfigurationError, match="expired"):
        signer(both, "build")
    with pytest.raises(ConfigurationError, match="to name one key nobody…, it names 0"):
        expire_key(Path(keys.trust), "nobody", NOW)


def test_a_key_in_a_kms_signs_and_never_leaves_it(keys, monkeypatch):
    kms = KmsSimulator()
    monkeypatch.setattr(_aws_signer, "boto3", kms, raising=False)
    monkeypatch.setattr(_aws_signer, "serialization", serialization, raising=False)
    monkeypatch.setattr(_aws_signer, "AWS_IMPORT_ERROR", None)
    for name in ("BotoCoreError", "ClientError"):
        monkeypatch.setattr(_aws_signer, name, OSError, raising=False)
    there = replace(keys, build="awskms:alias/slipway")
    with pytest.raises(ConfigurationError, match="run `slipway keys trust build awskms:alias/slipway`"):
        signer(there, "build")
    trust_key(Path(keys.trust), "build", there.build)
    assert verify(sign(statement(), signer(there, "build")), trust(keys)) == statement()
    signing = signer(there, "build")
    kms.answers = False
    with pytest.raises(UnavailableError, match="did not sign: OSError: no answer"):
        sign(statement(), signing)
    kms.answers = True
    with pytest.raises(ConfigurationError, match="awskms:alias/other cannot be used: OSError: no key alias/other"):
        signer(replace(keys, build="awskms:alias/other"), "build")


class KmsSimulator:
    """AWS KMS with one P-256 key, as boto3 gives it."""

    def __init__(self):
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.answers = True

    def client(self, service):
        assert service == "kms"
        return self

    def get_public_key(self, KeyId):  # noqa: N803
        if KeyId != "alias/slipway":
            raise OSError(f"no key {KeyId}")
        content = self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return {"SigningAlgorithms": ["ECDSA_SHA_256"], "PublicKey": content}

    def sign(self, KeyId, Message, MessageType, SigningAlgorithm):  # noqa: N803
        if not self.answers:
            raise OSError("no answer")
        assert (KeyId, MessageType, SigningAlgorithm) == ("alias/slipway", "DIGEST", "ECDSA_SHA_256")
        return {"Signature": self._key.sign(Message, ec.ECDSA(Prehashed(SHA256())))}


def test_a_ledger_without_keys_does_not_record():
    with pytest.raises(ConfigurationError, match="build_key, approval_key and trust in the extras"):
        signer(None, "build")


def test_a_key_that_others_may_read_is_refused(keys):
    Path(keys.build).chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        signer(keys, "build")


def test_a_missing_damaged_or_locked_key_is_refused_by_its_path_and_not_replaced(keys):
    locked = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    for content in (b"", b"-----BEGIN PRIVATE KEY-----\n", locked):
        Path(keys.build).write_bytes(content)
        with pytest.raises(ConfigurationError, match=r"without a passphrase at .*build\.pem"):
            ensure_keys(keys)
        assert Path(keys.build).read_bytes() == content
    Path(keys.build).unlink()
    with pytest.raises(ConfigurationError, match=r"expected a private key at .*build\.pem"):
        signer(keys, "build")


@pytest.mark.parametrize(
    ("uri", "module", "install"),
    [
        ("hsm:2?label=Release", "pkcs11", "python-pkcs11"),
        ("awskms:alias/slipway", "boto3", "boto3"),
        (
            "gcpkms:projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1",
            "google.cloud.kms",
            "google-cloud",
        ),
        ("azurekms://vault.vault.azure.net/keys/slipway/1", "azure.identity", "azure-identity"),
    ],
)
def test_a_key_elsewhere_without_its_library_says_what_to_install(keys, uri, module, install):
    try:
        there = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        there = None
    if there:
        pytest.skip(f"{module} is installed here")
    with pytest.raises(ConfigurationError, match=f"pip install .*{install}"):
        signer(replace(keys, build=uri), "build")


def test_a_uri_nobody_knows_is_refused(keys):
    with pytest.raises(ConfigurationError, match="expected a path or a URI of hsm, awskms"):
        signer(replace(keys, build="carrier:pigeon"), "build")


def test_keys_that_are_uris_are_not_made(tmp_path):
    keys = replace(SigningKeys.in_folder(tmp_path / "keys"), build="hsm:2")
    ensure_keys(keys)
    assert [key.role for key in trust(keys).keys.values()] == ["approval"]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"version": 2, "keys": {}}', '{"version": 1, "keys": {"a": {}}}'])
def test_a_damaged_trust_file_is_refused_by_its_path(keys, content):
    Path(keys.trust).write_text(content)
    with pytest.raises(ConfigurationError, match=r"expected a trust file at .*trust\.json"):
        signer(keys, "build")


def test_a_trust_files_key_of_a_kind_or_with_a_time_nobody_understands_is_refused(keys):
    document = json.loads(Path(keys.trust).read_text())
    entry = next(iter(document["keys"].values()))
    for change in ({"scheme": "rot13"}, {"expires": "tomorrow"}, {"expires": "2026-03-01T12:00:00"}, {"role": "owner"}):
        Path(keys.trust).write_text(json.dumps({"version": 1, "keys": {"id": {**entry, **change}}}))
        with pytest.raises(ConfigurationError, match="expected a trust file"):
            trust(keys)


def test_a_trust_file_comes_back_as_it_was_written(keys):
    assert Trust.parse(trust(keys).dumps()) == trust(keys)
