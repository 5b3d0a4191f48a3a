"""Canonical JSON (RFC 8785), the one byte form that is hashed."""

from __future__ import annotations

from typing import Any

import rfc8785

from slipway.errors import ConfigurationError


def canonical_json(value: Any) -> bytes:
    """Encode JSON-like data so that equal values give equal bytes.

    Raises:
        ConfigurationError: the value holds something JSON cannot carry exactly (NaN, integers beyond 2**53, objects).
    """
    try:
        return rfc8785.dumps(value)
    except rfc8785.CanonicalizationError as error:
        raise ConfigurationError(
            f"expected plain JSON data (objects, arrays, strings, finite numbers, integers below 2**53), got {error}"
        ) from error
