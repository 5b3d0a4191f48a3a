"""Which version a device went to, and when: pure decisions about the events of a batch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from slipway.gateway.wire import Event, StatusEvent, UpdateEvent

Clock = Literal["device", "gateway"]
EARLIEST = 1_577_836_800.0
"""2020-01-01 UTC; a device whose clock says less has not set it since it started."""


@dataclass(frozen=True)
class Brought:
    """A version (``None``: nothing) and the release that brought it; ``None`` where no report named one."""

    version: str | None
    release: str | None


def changes(before: Brought | None, events: Iterable[Event]) -> tuple[Brought, ...]:
    """What a device ran after each change, oldest first; ``before`` is ``None`` when that is not known.

    A change is another version, or the same one brought by another release. An update that failed or was refused
    changes nothing. A status that names another version than was known is a change whose release is not known.
    """
    found: list[Brought] = []
    for event in events:
        after = _after(before, event)
        if after is not None and after != before:
            found.append(after)
        before = after
    return tuple(found)


def moment(sent_at: float, received_at: float, not_before: float) -> tuple[float, Clock]:
    """When the changes of a batch happened (Unix seconds), and by whose clock that is said.

    Events carry no time of their own. A device seals its batch in the step in which it changed, so ``sent_at``, which
    it signed, is the change plus at most that step; a device killed between the two reports at its next start. Its
    clock is believed unless it cannot be right: before ``EARLIEST``, before ``not_before`` (the change before this
    one), or after the receipt. Then the receipt counts, which may be as late as the device was offline.
    """
    if max(EARLIEST, not_before) <= sent_at <= received_at:
        return sent_at, "device"
    return max(received_at, not_before), "gateway"


def _after(before: Brought | None, event: Event) -> Brought | None:
    if isinstance(event, UpdateEvent) and event.moved:
        return Brought(event.runs, event.release)
    if isinstance(event, StatusEvent) and (before is None or before.version != event.version):
        return Brought(event.version, None)
    return before
