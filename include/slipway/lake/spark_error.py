"""The Slipway error inside an exception of Spark, and the one for a Spark that is gone.

An error raised in the ``lakefs`` data source reaches the caller as text inside one of Spark's exceptions, so its type,
and with it whether a retry can help, would be lost.
"""

from __future__ import annotations

import re

from slipway import errors
from slipway.errors import ConfigurationError, SlipwayError, UnavailableError

_LINE = re.compile(r"slipway\.errors\.(?P<name>\w+): (?P<message>[^\r\n]+)")


def slipway_error(error: BaseException) -> SlipwayError | None:
    """The last Slipway error named in the text of ``error``, as a value of its own type; ``None`` when it names none.

    A caller raises it from the original: ``raise found from error``. Conflict paths do not survive the way.
    """
    for found in reversed(list(_LINE.finditer(str(error)))):
        kind = getattr(errors, found["name"], None)
        if isinstance(kind, type) and issubclass(kind, SlipwayError):
            return kind(found["message"])
    return None


_RESTARTED = re.compile(r"\bINVALID_(HANDLE|CURSOR)\.")
"""What a Spark Connect server says of a session or a query that another process of it knew."""


def spark_gone(error: BaseException) -> UnavailableError | None:
    """The error for a Spark Connect server that went away or was replaced; ``None`` when it is about something else."""
    if _status(error) == "UNAVAILABLE" or _RESTARTED.search(str(error)):
        return UnavailableError(
            f"expected Spark to stay until the job's end, it went away: {error}; look at its log, and try again when "
            "it runs (`make status` for the local one)"
        )
    return None


def spark_refused(error: BaseException) -> SlipwayError:
    """The error for a Spark Connect server that is there and grants no session."""
    if _status(error) in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
        return ConfigurationError(
            f"expected Spark to accept the token of connection spark_default, got: {error}; set the connection's "
            "password to the server's SPARK_CONNECT_AUTHENTICATE_TOKEN"
        )
    return spark_gone(error) or UnavailableError(
        f"expected Spark to grant a session (connection spark_default), got: {error}; look at its log"
    )


def _status(error: BaseException) -> str:
    """The gRPC status of an error of Spark Connect by name; empty for any other."""
    ask = getattr(error, "getGrpcStatusCode", None)
    return str(ask().name) if ask else ""
