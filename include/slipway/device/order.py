"""What the channel orders, and what that means for one device; values only.

The order is the content of the signed target ``<pipeline>/channel.json``.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from slipway.errors import ChannelError

BUCKETS = 10_000
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class ChannelOrder:
    """One pipeline's release as signed: ``percent`` of the fleet gets ``next``, the others ``current``.

    A version of ``None`` means that the device runs nothing.
    """

    pipeline: str
    release: str
    serial: int
    salt: str
    percent: float
    current: str | None
    next: str | None

    def wanted_by(self, device_id: str) -> str | None:
        """The version this device should run."""
        if self.next is not None and cohort_bucket(self.salt, device_id) < self.percent * BUCKETS / 100:
            return self.next
        return self.current


def cohort_bucket(salt: str, device_id: str) -> int:
    """The device's place in 0..9999; the salt gives every release other first devices."""
    digest = hashlib.sha256(f"{salt}:{device_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % BUCKETS


def parse_order(data: bytes, pipeline: str) -> ChannelOrder:
    """Read ``channel.json`` strictly.

    Raises:
        ChannelError: not JSON, a field is missing or has another type, or it orders for another pipeline.
    """
    try:
        value = json.loads(data)
    except ValueError as error:
        raise ChannelError(f"expected JSON in {pipeline}/channel.json, got something else; publish it again") from error
    if not isinstance(value, dict):
        raise ChannelError(f"expected an object in {pipeline}/channel.json, got {type(value).__name__}; publish again")
    order = ChannelOrder(**{name: _field(value, name, valid) for name, valid in _FIELDS.items()})
    if order.pipeline != pipeline:
        raise ChannelError(f"expected the channel of {pipeline!r}, got that of {order.pipeline!r}; publish it again")
    return order


def is_version(value: object) -> bool:
    """True for a version that is safe as a folder's name."""
    return isinstance(value, str) and _VERSION.fullmatch(value) is not None


def _text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 256


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _percent(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 100


def _version_or_nothing(value: object) -> bool:
    return value is None or is_version(value)


_FIELDS: dict[str, Callable[[object], bool]] = {
    "pipeline": _text,
    "release": _text,
    "serial": _whole,
    "salt": _text,
    "percent": _percent,
    "current": _version_or_nothing,
    "next": _version_or_nothing,
}


def _field(value: dict[str, Any], name: str, valid: Callable[[object], bool]) -> Any:
    if name not in value or not valid(value[name]):
        came = repr(value[name])[:80] if name in value else "nothing"
        raise ChannelError(f"expected a valid {name!r} in channel.json, got {came}; publish the channel again")
    return value[name]
