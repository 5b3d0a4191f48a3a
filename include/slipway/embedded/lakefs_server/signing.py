"""Who may ask: the users of the credentials file, and signatures on URLs and staging addresses."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field, SecretStr, ValidationError

from slipway.embedded.lakefs_server.history import COMMITTER as ADMIN
from slipway.embedded.lakefs_server.users import User, problems
from slipway.errors import ConfigurationError

_GROUP_AND_OTHERS = 0o077


@dataclass(frozen=True)
class Credentials:
    """The first access key pair, which is an admin's, and the other users."""

    access_key: str
    secret_key: str = field(repr=False)
    users: tuple[User, ...] = ()

    @classmethod
    def read(cls, path: Path) -> Credentials:
        """Read ``lakefs_access_key``, ``lakefs_secret_key`` and perhaps ``users`` from JSON only its owner may read.

        ``users`` is a list of objects with ``id``, ``access_key``, ``secret_key``, ``role`` (``admin``, ``read`` or
        ``write``) and, for ``write``, ``repository`` and ``branch``. Raises ConfigurationError if others may read the
        file, a key is missing or two users share an id or an access key.
        """
        try:
            mode = path.stat().st_mode
            found = _CredentialsFile.model_validate_json(path.read_bytes())
        except OSError as error:
            raise ConfigurationError(f"expected {path} to be JSON with access keys: {error}") from error
        except ValidationError as error:
            raise ConfigurationError(f"expected JSON with access keys in {path}: {problems(error)}") from None
        if mode & _GROUP_AND_OTHERS:
            raise ConfigurationError(f"{path} can be read by others; run chmod 600 on it")
        credentials = cls(found.lakefs_access_key, found.lakefs_secret_key.get_secret_value(), tuple(found.users))
        if twice := credentials.repeated():
            raise ConfigurationError(f"expected every id and access key in {path} once, got {', '.join(twice)} again")
        return credentials

    def everyone(self) -> tuple[User, ...]:
        """The admin of the first key pair, then the others."""
        first = User(id=ADMIN, access_key=self.access_key, secret_key=SecretStr(self.secret_key), role="admin")
        return (first, *self.users)

    def repeated(self) -> list[str]:
        """Ids and access keys that more than one user has."""
        everyone = self.everyone()
        counts = Counter(user.id for user in everyone), Counter(user.access_key for user in everyone)
        return [name for count in counts for name, users in count.items() if users > 1]

    def user(self, header: str) -> User | None:
        """Whose key pair an ``Authorization`` header carries; takes as long for any wrong pair."""
        scheme, _, value = header.partition(" ")
        try:
            given = _digest(base64.b64decode(value.strip(), validate=True))
        except (binascii.Error, ValueError):
            return None
        found = [user for user in self.everyone() if hmac.compare_digest(given, _digest(user.header))]
        return found[0] if found and scheme.lower() == "basic" else None

    def named(self, name: str) -> User | None:
        """The user of that id."""
        return next((user for user in self.everyone() if user.id == name), None)


class _CredentialsFile(BaseModel):
    lakefs_access_key: Annotated[str, Field(min_length=1)]
    lakefs_secret_key: Annotated[SecretStr, Field(min_length=1)]
    users: list[User] = []


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
