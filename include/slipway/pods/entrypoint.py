"""How a pod ends: Slipway's errors as exit codes a scheduler can act on (BSD ``sysexits.h``)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from slipway.errors import SlipwayError

EX_DATAERR = 65
"""The input is wrong; running again cannot help."""
EX_TEMPFAIL = 75
"""Something was unreachable; running again may help."""

FINAL_CODES = frozenset({2, EX_DATAERR})
"""Exit codes after which a retry is pointless (2 is a wrong command line)."""


def run(main: Callable[[Sequence[str] | None], None]) -> NoReturn:
    """Run a pod's ``main`` and end the process: 0, or an exit code that says whether a retry can help."""
    try:
        main(None)
    except SlipwayError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.exit(EX_TEMPFAIL if error.retryable else EX_DATAERR)
    sys.exit(0)
