"""Which version each device of the fleet ran when, as frozen values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True)
class Ran:
    """A device ran one version from ``since`` until ``until``: ``since`` <= time < ``until``, in Unix seconds.

    ``version`` is ``None`` when it ran nothing. ``release`` is the release that brought the version, ``None`` where
    the device named none.

    ``clock`` says whose time ``since`` is. ``device``: its own, signed with its batch, at most a step of its work
    after the change. ``gateway``: that of the receipt, because the device's clock could not be right; the change may
    be as much earlier as the device was offline. ``received_at`` is the receipt in either case.

    ``until`` is ``None`` for what the device still runs as far as is known, and it is known up to ``seen``, when the
    gateway last heard of the device. ``removed``: the device left the fleet while it ran this version, and what it
    ran from ``until`` on is not known.
    """

    device_id: str
    pipeline: str
    version: str | None
    release: str | None
    since: float
    until: float | None
    clock: Literal["device", "gateway"]
    received_at: float
    removed: bool
    seen: float | None

    @property
    def now(self) -> bool:
        """Whether the device still runs it, as far as is known."""
        return self.until is None


class FleetHistory(Protocol):
    """Where the audit learns what drove a device and which devices ran a version."""

    def running(self, device_id: str, at: float) -> Ran | None:
        """What the device ran ``at``; ``None`` when nothing is known of that time."""
        ...

    def history(self, device_id: str) -> tuple[Ran, ...]:
        """All the device ran, oldest first."""
        ...

    def devices_of(self, pipeline: str, versions: Sequence[str]) -> tuple[Ran, ...]:
        """Every time any device, removed ones too, ran one of the versions, ordered by device and time."""
        ...
