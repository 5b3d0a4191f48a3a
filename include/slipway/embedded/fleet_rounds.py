"""Step many devices in turn on few threads, each at its own even pace."""

from __future__ import annotations

import heapq
import logging
import threading
import time
from collections.abc import Callable, Sequence

_log = logging.getLogger("slipway.fleet")
Step = Callable[[], object]


class Rounds:
    """Calls every step once per ``interval_seconds``, never one step twice at a time.

    The first round is spread over the whole interval and every step keeps its place, so a fleet's load is even.
    """

    def __init__(self, steps: Sequence[Step], interval_seconds: float, workers: int) -> None:
        self._steps = steps
        self._interval = interval_seconds
        self._workers = workers
        self._turn = threading.Lock()
        self._due: list[tuple[float, int]] = []

    def run(self, stop: threading.Event) -> None:
        """Return when ``stop`` is set and every step under way has ended."""
        started = time.monotonic()
        count = max(len(self._steps), 1)
        self._due = [(started + self._interval * index / count, index) for index in range(len(self._steps))]
        threads = [threading.Thread(target=self._work, args=(stop,), daemon=True) for _ in range(self._workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _work(self, stop: threading.Event) -> None:
        while not stop.is_set():
            with self._turn:
                due = heapq.heappop(self._due) if self._due else None
            if due is None:
                # Every device is being stepped by another thread.
                stop.wait(self._interval / 10)
                continue
            at, index = due
            if stop.wait(max(at - time.monotonic(), 0.0)):
                return
            try:
                self._steps[index]()
            except Exception:
                _log.exception("a device's step failed; it is stepped again")
            with self._turn:
                heapq.heappush(self._due, (max(at + self._interval, time.monotonic()), index))
