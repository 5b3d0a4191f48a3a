"""The channel's private keys: one Ed25519 key per TUF role, and how far the channel has come.

``<keys>/<role>.pem`` is PKCS#8 without a passphrase, mode 0600 in a folder of mode 0700. ``root.pem`` signs only the
root metadata and may be kept elsewhere between renewals. ``published.json`` beside the keys remembers the last
timestamp version that was published, so that an old copy of the repository is noticed before anything is signed
on top of it.
"""

from __future__ import annotations

import json
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.signer import CryptoSigner

from slipway.errors import ChannelError
from slipway.release.channel_files import Files

Role = Literal["root", "targets", "snapshot", "timestamp"]
ROLES: tuple[Role, ...] = ("root", "targets", "snapshot", "timestamp")


class RoleKeys:
    """The signers of the four roles, read when first needed."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._signers: dict[Role, CryptoSigner] = {}

    def create_missing(self) -> None:
        """Generate a key for every role that has none."""
        for role in ROLES:
            if self._files.read(f"{role}.pem") is None:
                self._files.write(f"{role}.pem", CryptoSigner.generate_ed25519().private_bytes)

    def signer(self, role: Role) -> CryptoSigner:
        """The role's signer; raises ChannelError when its key file is missing or not an Ed25519 key."""
        if role not in self._signers:
            self._signers[role] = self._load(role)
        return self._signers[role]

    def has(self, role: Role) -> bool:
        return self._files.read(f"{role}.pem") is not None

    def _load(self, role: Role) -> CryptoSigner:
        pem = self._files.read(f"{role}.pem")
        if pem is None:
            raise ChannelError(
                f"the channel's {role} key is missing (expected {role}.pem in the keys folder); initialise the "
                "channel, or restore the key from its backup if devices already trust it"
            )
        try:
            key = load_pem_private_key(pem, None)
        except (ValueError, TypeError) as error:
            raise ChannelError(f"{role}.pem is not a private key in PEM form; restore it from its backup") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise ChannelError(f"{role}.pem must hold an Ed25519 key, got {type(key).__name__}; restore the backup")
        return CryptoSigner(key)

    def published_version(self) -> int:
        """The last timestamp version known to be published, 0 before the first."""
        content = self._files.read("published.json")
        return int(json.loads(content)["timestamp"]) if content else 0

    def remember(self, version: int) -> None:
        """Note that this timestamp version is published."""
        self._files.write("published.json", json.dumps({"timestamp": version}).encode() + b"\n")
