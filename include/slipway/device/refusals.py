"""What this device would not install: remembered, so that it is reported once and not tried at every poll."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from slipway.device.durable import write_durably
from slipway.errors import ChannelError, IncompatibleError, SelfTestError, SlipwayError, UntrustedError

_log = logging.getLogger(__name__)
_REPORTS_KEPT = 64
_FIRST_WAIT_SECONDS = 5.0
_LONGEST_WAIT_SECONDS = 60.0


@dataclass(frozen=True)
class _Attempt:
    again_at: float | None
    wait_seconds: float


def is_refusal(error: SlipwayError) -> bool:
    """True if the device refuses what it was given; false if it could not do what it wanted to."""
    return isinstance(error, UntrustedError | IncompatibleError | SelfTestError | ChannelError)


def can_heal(error: SlipwayError) -> bool:
    """True if the same signed order may succeed later: a broken download may, wrong hardware never."""
    return not isinstance(error, IncompatibleError | SelfTestError)


class Refusals:
    """Remembers attempts in memory and reports on disk (``path``), so that a restart does not report twice."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._attempts: dict[str, _Attempt] = {}
        self._reported = _read_reported(path)

    def may_try(self, order: str) -> bool:
        """Whether an order (release, serial and version as one text) should be tried now."""
        attempt = self._attempts.get(order)
        return attempt is None or (attempt.again_at is not None and self._clock() >= attempt.again_at)

    def record(self, order: str, error: SlipwayError) -> None:
        """Remember a failed attempt: waits double up to a minute, what cannot heal is never tried again."""
        before = self._attempts.get(order)
        wait = _FIRST_WAIT_SECONDS if before is None else min(2 * before.wait_seconds, _LONGEST_WAIT_SECONDS)
        again_at = self._clock() + wait if can_heal(error) else None
        # Only the order in force matters; older ones would pile up.
        self._attempts = {order: _Attempt(again_at, wait)}

    def first_report(self, release: str | None, version: str | None, reason: str) -> bool:
        """True the first time this is asked for these three."""
        key = json.dumps([release, version, reason])
        if key in self._reported:
            return False
        self._remember([*self._reported, key][-_REPORTS_KEPT:])
        return True

    def healed(self, release: str | None) -> None:
        """What was reported for ``release`` is over; should it happen again, it is reported again."""
        rest = [key for key in self._reported if json.loads(key)[0] != release]
        if len(rest) < len(self._reported):
            self._remember(rest)

    def _remember(self, reported: list[str]) -> None:
        self._reported = reported
        try:
            write_durably(self._path, json.dumps(reported).encode())
        except OSError as error:
            # A full disk must not hide a report; at worst a restart reports it again.
            _log.warning("could not remember what was reported: %s", error.strerror)


def _read_reported(path: Path) -> list[str]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return []
    if not isinstance(value, list):
        return []
    return [key for key in value if isinstance(key, str) and key.startswith("[")]
