"""The trust file: which public keys sign statements, for which role, and how long.

``{"version": 1, "keys": {KEYID: {"role", "keytype", "scheme", "keyval", "created", "expires"}}}``. A role may have
several keys: an old one stays, with the time it expired, for what it signed until then. Whoever writes this file
decides what is believed; verifying needs nothing else.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from securesystemslib.signer import Key, SSlibKey

from slipway.errors import ConfigurationError

Role = Literal["build", "approval"]
ROLES: tuple[Role, ...] = ("build", "approval")
_APPROVED = frozenset({"release", "settle"})


def role_of(stage: str) -> Role:
    """Which key signs the statements of a stage: releases and settled disputes are approved, all else is built."""
    return "approval" if stage in _APPROVED else "build"


@dataclass(frozen=True)
class TrustedKey:
    """One public key, and what it may sign."""

    public: Key
    role: Role
    created: dt.datetime | None = None
    """What finished earlier was not signed by it; ``None``: since ever."""
    expires: dt.datetime | None = None
    """What finished then or later is not believed; ``None``: never."""

    @property
    def keyid(self) -> str:
        return str(self.public.keyid)


@dataclass(frozen=True)
class Trust:
    """Key id -> key."""

    keys: Mapping[str, TrustedKey]

    @classmethod
    def of(cls, *keys: TrustedKey) -> Trust:
        return cls({key.keyid: key for key in keys})

    @classmethod
    def load(cls, path: Path) -> Trust:
        """Read a trust file.

        Raises:
            ConfigurationError: it is missing, unreadable or of another form.
        """
        try:
            return cls.parse(path.read_bytes())
        except OSError as error:
            raise ConfigurationError(f"expected a trust file (trust.json) at {path}: {error.strerror}") from error
        except ValueError as error:
            raise ConfigurationError(f"expected a trust file at {path}, got something else: {error}") from error

    @classmethod
    def parse(cls, content: bytes) -> Trust:
        """Read a trust file's content. Raises ValueError when it is of another form."""
        try:
            read = _File.model_validate_json(content)
        except ValidationError as error:
            first = error.errors()[0]
            raise ValueError(f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from error
        return cls.of(*(_trusted(keyid, entry) for keyid, entry in read.keys.items()))

    def dumps(self) -> bytes:
        """The trust file's content."""
        keys = {keyid: _entry(key) for keyid, key in self.keys.items()}
        return json.dumps({"version": 1, "keys": keys}, indent=2).encode() + b"\n"

    def including(self, key: TrustedKey) -> Trust:
        return Trust({**self.keys, key.keyid: key})


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    role: Role
    keytype: str
    scheme: str
    keyval: dict[str, Any]
    created: AwareDatetime | None
    expires: AwareDatetime | None


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    version: Literal[1]
    keys: dict[Annotated[str, Field(min_length=1)], _Entry]


def _trusted(keyid: str, entry: _Entry) -> TrustedKey:
    key = Key.from_dict(keyid, {"keytype": entry.keytype, "scheme": entry.scheme, "keyval": dict(entry.keyval)})
    if not isinstance(key, SSlibKey):
        raise ValueError(f"keys.{keyid}: {entry.keytype}/{entry.scheme} cannot be verified offline")  # noqa: TRY004
    return TrustedKey(key, entry.role, entry.created, entry.expires)


def _entry(key: TrustedKey) -> dict[str, Any]:
    times = {"created": key.created, "expires": key.expires}
    return {
        "role": key.role,
        **key.public.to_dict(),
        **{name: None if moment is None else moment.isoformat() for name, moment in times.items()},
    }
