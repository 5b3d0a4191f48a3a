"""Who this device is: its id and the Ed25519 key that only it holds.

The key is made on the device and never leaves it; the gateway knows the public half since enrolment and checks
every telemetry batch against it.
"""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from slipway.device.durable import write_durably
from slipway.errors import ConfigurationError, DeviceError

_DEVICE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class DeviceIdentity:
    """A device id with its private key; ``public_key`` is 64 hex characters."""

    device_id: str
    public_key: str
    _key: Ed25519PrivateKey = field(repr=False)

    def sign(self, body: bytes) -> str:
        """Ed25519 signature over ``body`` as 128 hex characters."""
        return self._key.sign(body).hex()


def load_or_create_identity(state: Path, device_id: str) -> DeviceIdentity:
    """The identity kept in ``state`` (``identity.pem``, mode 0600), made at the first call.

    Raises:
        ConfigurationError: ``device_id`` is not 1-64 letters, digits, dots, dashes and underscores, or the state
            folder belongs to another device.
        DeviceError: the key cannot be read or written, or others may read it.
    """
    if not _DEVICE_ID.fullmatch(device_id):
        raise ConfigurationError(f"expected a device id of 1-64 characters [A-Za-z0-9._-], got {device_id!r}")
    try:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        _claim(state / "device_id", device_id)
        key = _load_or_create_key(state / "identity.pem")
    except OSError as error:
        raise DeviceError(f"expected a writable state folder at {state}, got: {error.strerror}; free it") from error
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return DeviceIdentity(device_id, public.hex(), key)


def _claim(path: Path, device_id: str) -> None:
    if not path.exists():
        write_durably(path, device_id.encode())
        return
    owner = path.read_text()
    if owner != device_id:
        raise ConfigurationError(
            f"the state folder {path.parent} belongs to device {owner!r}, not {device_id!r}; give each its own folder"
        )


def _load_or_create_key(path: Path) -> Ed25519PrivateKey:
    if not path.exists():
        made = Ed25519PrivateKey.generate()
        pem = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_durably(path, pem, mode=0o600)
        return made
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise DeviceError(f"expected mode 0600 on {path}: others may read the device's key; replace it and enrol anew")
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except ValueError as error:
        raise DeviceError(f"expected an Ed25519 key in {path}, got unreadable bytes; restore or replace it") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise DeviceError(f"expected an Ed25519 key in {path}, got {type(key).__name__}; replace it and enrol anew")
    return key
