"""Ed25519, as devices sign their telemetry with it."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def is_public_key(key: str) -> bool:
    """Whether the hex text is an Ed25519 public key."""
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(key))
    except ValueError:
        return False
    return True


def verifies(key: str, signature: str, body: bytes) -> bool:
    """Whether ``signature`` (hex) over ``body`` was made with the private half of ``key`` (hex)."""
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(bytes.fromhex(signature), body)
    except (InvalidSignature, ValueError):
        return False
    return True
