"""The Slipway error inside an exception of Spark.

An error raised in the ``lakefs`` data source reaches the caller as text inside one of Spark's exceptions, so its type,
and with it whether a retry can help, would be lost.
"""

from __future__ import annotations

import re

from slipway import errors
from slipway.errors import SlipwayError

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
