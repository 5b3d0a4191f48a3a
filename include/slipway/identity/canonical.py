"""Canonical JSON (RFC 8785), the one byte form that is hashed."""

from __future__ import annotations

from typing import Any

import rfc8785

from slipway.errors import ConfigurationError


def canonical_json(value: Any) -> bytes:
    """Encode JSON-like data so that equal values give equal bytes.

    Raises:
        ConfigurationError: the value holds something JSON cannot carry exactly (NaN, integers beyond 2**53, lone
            surrogates, keys that are no strings, objects).
    """
    try:
        return rfc8785.dumps(value)
    except ValueError as error:  # beside the library's own, what Python says of lone surrogates and of huge integers
        raise ConfigurationError(
            f"expected plain JSON data (objects, arrays, strings, finite numbers, integers below 2**53), got {error}"
        ) from error


def read_number(value: int) -> int | float:
    """An integer that JSON was read as, as what it was before canonical JSON was written.

    RFC 8785 writes a double below 1e21 with all its digits and no point (``1e20``), which most readers take for an
    integer. One that no double is written as stays what it is, for :func:`canonical_json` to refuse.
    """
    if 2**53 <= abs(value) < 10**21 and canonical_json(float(value)) == str(value).encode():
        return float(value)
    return value
