from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from slipway.device.identity import load_or_create_identity
from slipway.errors import ConfigurationError, DeviceError


def test_the_key_is_made_once_and_readable_by_its_owner_alone(tmp_path: Path) -> None:
    made = load_or_create_identity(tmp_path / "state", "car-1")
    again = load_or_create_identity(tmp_path / "state", "car-1")
    assert again.public_key == made.public_key
    assert len(made.public_key) == 64
    assert stat.S_IMODE((tmp_path / "state" / "identity.pem").stat().st_mode) == 0o600


def test_a_signature_verifies_with_the_public_key_and_only_over_the_same_bytes(tmp_path: Path) -> None:
    identity = load_or_create_identity(tmp_path, "car-1")
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(identity.public_key))
    signature = bytes.fromhex(identity.sign(b"body"))
    key.verify(signature, b"body")
    with pytest.raises(InvalidSignature):
        key.verify(signature, b"bodY")


def test_the_private_key_is_not_in_the_representation(tmp_path: Path) -> None:
    assert "Ed25519PrivateKey" not in repr(load_or_create_identity(tmp_path, "car-1"))


def test_a_state_folder_belongs_to_one_device(tmp_path: Path) -> None:
    load_or_create_identity(tmp_path, "car-1")
    with pytest.raises(ConfigurationError, match="belongs to device 'car-1'"):
        load_or_create_identity(tmp_path, "car-2")


@pytest.mark.parametrize("device_id", ["", "../car", "a/b", ".car", "x" * 65, "car 1", "ünïcode"])
def test_an_id_unfit_for_headers_and_paths_is_refused(tmp_path: Path, device_id: str) -> None:
    with pytest.raises(ConfigurationError, match="device id"):
        load_or_create_identity(tmp_path, device_id)


def test_a_key_that_others_may_read_is_not_used(tmp_path: Path) -> None:
    load_or_create_identity(tmp_path, "car-1")
    (tmp_path / "identity.pem").chmod(0o644)
    with pytest.raises(DeviceError, match="0600"):
        load_or_create_identity(tmp_path, "car-1")


def test_a_damaged_key_is_not_silently_replaced(tmp_path: Path) -> None:
    load_or_create_identity(tmp_path, "car-1")
    (tmp_path / "identity.pem").write_bytes(b"-----BEGIN nothing-----")
    with pytest.raises(DeviceError, match="unreadable"):
        load_or_create_identity(tmp_path, "car-1")


def test_an_unusable_state_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DeviceError, match="file/state"):
        load_or_create_identity(tmp_path / "file" / "state", "car-1")
