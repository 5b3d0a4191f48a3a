"""Who may ask: the access key pair, and signatures on URLs and staging addresses."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from dataclasses import dataclass, field
from pathlib import Path

from slipway.errors import ConfigurationError

_GROUP_AND_OTHERS = 0o077


@dataclass(frozen=True)
class Credentials:
    """The one access key pair."""

    access_key: str
    secret_key: str = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> Credentials:
        """Read ``lakefs_access_key`` and ``lakefs_secret_key`` from a JSON file only its owner may read.

        Raises ConfigurationError if others may read it or a key is missing.
        """
        try:
            mode = path.stat().st_mode
            values = json.loads(path.read_text())
            access_key, secret_key = values["lakefs_access_key"], values["lakefs_secret_key"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"expected {path} to be JSON with lakefs_access_key and lakefs_secret_key: {error}"
            ) from error
        if mode & _GROUP_AND_OTHERS:
            raise ConfigurationError(f"{path} can be read by others; run chmod 600 on it")
        if not (isinstance(access_key, str) and isinstance(secret_key, str) and access_key and secret_key):
            raise ConfigurationError(f"expected non-empty lakefs_access_key and lakefs_secret_key in {path}")
        return cls(access_key, secret_key)

    def accept(self, header: str) -> bool:
        """Whether an ``Authorization`` header carries this pair; takes as long for any wrong pair."""
        scheme, _, value = header.partition(" ")
        try:
            given = base64.b64decode(value.strip(), validate=True)
        except (binascii.Error, ValueError):
            return False
        expected = f"{self.access_key}:{self.secret_key}".encode()
        return scheme.lower() == "basic" and hmac.compare_digest(_digest(given), _digest(expected))


def _digest(value: bytes) -> bytes:
    return hashlib.sha256(value).digest()


class Signer:
    """HMAC-SHA256 over lists of strings, with a key derived from the secret key."""

    def __init__(self, credentials: Credentials) -> None:
        self._key = hmac.digest(credentials.secret_key.encode(), b"slipway lakefs-server signatures", "sha256")

    def sign(self, purpose: str, expires: int, *parts: str) -> str:
        """Hex signature that binds ``parts`` to a purpose and a last valid unix second."""
        return hmac.digest(self._key, json.dumps([purpose, expires, *parts]).encode(), "sha256").hex()

    def accepts(self, signature: str, purpose: str, expires: int, *parts: str) -> bool:
        """Whether ``signature`` was made for exactly this and has not expired."""
        good = hmac.compare_digest(signature.encode(), self.sign(purpose, expires, *parts).encode())
        return good and time.time() <= expires
