"""Telemetry that is not lost while the gateway is away: batches wait in a bounded spool on disk."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from slipway.device.durable import write_durably, write_whole
from slipway.device.events import Event
from slipway.device.gateway import Gateway
from slipway.device.identity import DeviceIdentity
from slipway.errors import DeviceError

_log = logging.getLogger(__name__)
_BATCHES_PER_POST = 20
_REJECTED_KEPT = 20
_UPDATE = "update"


class Spool:
    """Sealed batches in the order of their sequence numbers, oldest first.

    Sequence numbers rise for ever: each is one more than the last, and never below the clock's seconds, so that they
    rise also when the disk refused to remember the last one. A batch that the disk refuses stays in memory.
    When the spool is full, the oldest batch without an update in it goes first.
    """

    def __init__(self, folder: Path, max_batches: int = 1000, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._counter = folder / "sequence"
        self._max_batches = max_batches
        self._clock = clock
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._waiting = {int(file.name.split(".")[0]): file for file in folder.glob("*.json")}
            self._last = max([_read_counter(self._counter), *self._waiting])
        except OSError as error:
            raise DeviceError(f"expected a writable folder {folder}, got: {error.strerror}; free it") from error
        self._in_memory: dict[int, bytes] = {}
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def seal(self, device_id: str, events: Sequence[Event]) -> int:
        """Make one batch of ``events``; returns its sequence number."""
        now = self._clock()
        sequence = max(self._last + 1, int(now))
        self._last = sequence
        value = {"device_id": device_id, "sequence": sequence, "sent_at": round(now, 3), "events": list(events)}
        body = json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
        kind = _UPDATE if any(event["kind"] == _UPDATE for event in events) else "other"
        file = self._folder / f"{sequence:012d}.{kind}.json"
        try:
            # Flushing every batch to disk would wear a device's flash; what a power cut may not take is flushed.
            write = write_durably if kind == _UPDATE else write_whole
            # The number first: after a kill between the two a number is skipped, never used twice.
            write(self._counter, str(sequence).encode())
            write(file, body)
        except OSError as error:
            _log.warning("telemetry batch %d stays in memory: %s", sequence, error.strerror)
            self._in_memory[sequence] = body
        self._waiting[sequence] = file
        self._keep_bound()
        return sequence

    def oldest(self, count: int) -> list[int]:
        """Up to ``count`` waiting sequence numbers, oldest first."""
        return sorted(self._waiting)[:count]

    def body(self, sequence: int) -> bytes | None:
        """The exact bytes of a batch; ``None`` if it was lost from the disk."""
        if sequence in self._in_memory:
            return self._in_memory[sequence]
        try:
            return self._waiting[sequence].read_bytes()
        except OSError:
            return None

    def remove(self, sequence: int) -> None:
        self._in_memory.pop(sequence, None)
        self._waiting.pop(sequence).unlink(missing_ok=True)

    def reject(self, sequence: int) -> None:
        """Put a batch the gateway will never accept aside, for a person to look at; the newest few are kept."""
        rejected = self._folder / "rejected"
        file = self._waiting[sequence]
        if sequence not in self._in_memory and file.exists():
            rejected.mkdir(exist_ok=True)
            file.replace(rejected / file.name)
            for old in sorted(rejected.iterdir())[:-_REJECTED_KEPT]:
                old.unlink()
        self.remove(sequence)

    def _keep_bound(self) -> None:
        while len(self._waiting) > self._max_batches:
            order = sorted(self._waiting)
            plain = [sequence for sequence in order if f".{_UPDATE}." not in self._waiting[sequence].name]
            self.remove((plain or order)[0])
            self.dropped += 1


class Telemetry:
    """Collects events, seals them into batches, and posts the batches signed and in order."""

    def __init__(self, identity: DeviceIdentity, gateway: Gateway, spool: Spool) -> None:
        self._identity = identity
        self._gateway = gateway
        self._spool = spool
        self._pending: list[Event] = []

    def add(self, event: Event) -> None:
        self._pending.append(event)

    def seal(self) -> None:
        """Move the collected events to the spool."""
        if self._pending:
            self._spool.seal(self._identity.device_id, self._pending)
            self._pending = []

    def post(self) -> bool:
        """Post what waits, oldest first; ``False`` if the gateway does not know this device.

        Raises:
            UnavailableError: no answer; everything not yet accepted stays in the spool.
        """
        for sequence in self._spool.oldest(_BATCHES_PER_POST):
            body = self._spool.body(sequence)
            if body is None:
                self._spool.remove(sequence)
                continue
            reception = self._gateway.post(self._identity.device_id, body, self._identity.sign(body))
            if reception == "unknown_device":
                return False
            if reception == "accepted":
                self._spool.remove(sequence)
            else:
                _log.error("the gateway rejected telemetry batch %d; it is kept in spool/rejected", sequence)
                self._spool.reject(sequence)
        return True


def _read_counter(path: Path) -> int:
    try:
        return int(path.read_text())
    except (FileNotFoundError, ValueError):
        return 0
