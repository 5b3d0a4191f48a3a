"""The fingerprint of a stage: sha256 over everything that decides its output.

It is the SHA-256 of one JSON object in canonical form (RFC 8785): the members of :class:`Ingredients` under their own
names, none left out, and ``format``. docs/fingerprints.md has the members, the rules and an example to check another
implementation with; tests/golden/fingerprints.json has more.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

from slipway.errors import ConfigurationError
from slipway.identity.canonical import canonical_json, read_number
from slipway.identity.digest import sha256_bytes

FORMAT = 1
"""Which form is hashed. Another number for another form: two forms never share a fingerprint."""


@dataclass(frozen=True)
class Ingredients:
    """What decides a stage's output; anything left out must not change it. Its mappings are not changed either."""

    stage: str
    pipeline: str
    code: Mapping[str, str]
    """Module path -> sha256, the closure of first-party imports."""
    parameters: Mapping[str, Any]
    """JSON data."""
    inputs: Mapping[str, str]
    """Input name -> digest or commit id."""
    environment: str
    """Digest of the image or of the dependency lock."""
    hardware: str
    """Hardware class, for example ``x86_64-cpu``."""
    seed: int | None = None
    packages: Mapping[str, str] = field(default_factory=dict)
    """Distribution -> version, the third-party packages that code imports."""

    def fingerprint(self) -> str:
        """64 hex characters; equal ingredients give equal fingerprints on every machine.

        Raises:
            ConfigurationError: the parameters hold something JSON cannot carry exactly.
        """
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        return sha256_bytes(self.canonical())

    def canonical(self) -> bytes:
        """The bytes that are hashed: canonical JSON of :meth:`to_dict`, raising as :meth:`fingerprint` does."""
        return canonical_json(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """The ingredients as JSON data of their own, with ``format``."""
        return {"format": FORMAT, **{member.name: _plain(getattr(self, member.name)) for member in fields(self)}}

    @classmethod
    def from_dict(cls, value: Any) -> Ingredients:
        """The ingredients that :meth:`to_dict` gave, also after a way through JSON.

        Raises:
            ConfigurationError: another format, a member missing or unknown, one of another type, or no JSON data.
        """
        if not isinstance(value, Mapping):
            raise ConfigurationError(f"expected ingredients as a JSON object, got {type(value).__name__}")
        if type(value.get("format")) is not int or value["format"] != FORMAT:
            raise ConfigurationError(
                f"expected ingredients in format {FORMAT}, got {value.get('format')!r}; read them with the Slipway "
                "that wrote them"
            )
        names = {member.name for member in fields(cls)}
        given = {name: content for name, content in value.items() if name != "format"}
        if given.keys() != names:
            odd = ", ".join(sorted(map(str, given.keys() ^ names)))
            raise ConfigurationError(f"expected ingredients with {', '.join(sorted(names))}; missing or unknown: {odd}")
        for name, content in given.items():
            _require(name, content)
        ingredients = cls(**{name: content if name == "seed" else _read(content) for name, content in given.items()})
        ingredients.fingerprint()
        return ingredients


def cpu_hardware_class() -> str:
    """The hardware class of a stage that runs on this machine's CPU."""
    return f"{platform.machine()}-cpu"


def _require(name: str, content: Any) -> None:
    if name in ("code", "inputs", "packages"):
        expected, right = "strings by string", isinstance(content, Mapping) and _all_strings(content)
    elif name == "parameters":
        expected, right = "an object", isinstance(content, Mapping)
    elif name == "seed":
        expected, right = "an integer or null", content is None or type(content) is int
    else:
        expected, right = "text", isinstance(content, str) and bool(content)
    if not right:
        raise ConfigurationError(f"expected `{name}` of ingredients to be {expected}, got {content!r:.200}")


def _all_strings(content: Mapping[Any, Any]) -> bool:
    return all(isinstance(text, str) for pair in content.items() for text in pair)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(content) for key, content in value.items()}
    return [_plain(content) for content in value] if isinstance(value, list | tuple) else value


def _read(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _read(content) for key, content in value.items()}
    if isinstance(value, list | tuple):
        return [_read(content) for content in value]
    return read_number(value) if type(value) is int else value
