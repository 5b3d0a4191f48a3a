"""What simulated sensors see: the held-out rows recorded with the version a device runs.

One request to the registry's own artifact route per version; importing ``mlflow`` for that would cost the fleet
more memory than all its devices together.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from numpy.typing import NDArray
from urllib3 import make_headers

from slipway.device.runtime import Tensors
from slipway.device.sensor import ReplaySensor, read_rows
from slipway.device.transport import Transport
from slipway.errors import RegistryError, SlipwayError

FILE = "replay.npz"
_KEPT = 6
_RETRY_SECONDS = 5.0


class RegistryReplays:
    """Recorded rows by pipeline and version, fetched once and shared by all sensors.

    ``url`` is the MLflow server's, ``login`` is ``name:password`` where it asks for one.
    """

    def __init__(
        self, url: str, transport: Transport, clock: Callable[[], float] = time.monotonic, login: str | None = None
    ) -> None:
        self._url = url
        self._headers = make_headers(basic_auth=login) if login else {}
        self._transport = transport
        self._clock = clock
        self._lock = threading.Lock()
        self._rows: OrderedDict[tuple[str, str], Tensors] = OrderedDict()
        self._failed: dict[tuple[str, str], tuple[float, SlipwayError]] = {}

    def rows(self, pipeline: str, version: str) -> Tensors:
        """The recorded rows of one version.

        Raises:
            UnavailableError: MLflow did not answer; asked again a few seconds later, not for every device.
            RegistryError: the version has no recorded rows.
            UnreadableDataError: what it has is not an npz file of rows.
        """
        key = (pipeline, version)
        with self._lock:
            if key in self._rows:
                self._rows.move_to_end(key)
                return self._rows[key]
            if key in self._failed and self._clock() < self._failed[key][0]:
                raise self._failed[key][1]
            try:
                self._rows[key] = self._fetch(pipeline, version)
            except SlipwayError as error:
                self._failed[key] = (self._clock() + _RETRY_SECONDS, error)
                raise
            self._failed.pop(key, None)
            while len(self._rows) > _KEPT:
                self._rows.popitem(last=False)
            return self._rows[key]

    def _fetch(self, pipeline: str, version: str) -> Tensors:
        query = urlencode({"name": pipeline, "version": version, "path": FILE})
        status, data = self._transport.get(f"{self._url}/model-versions/get-artifact?{query}", self._headers)
        if status != 200:
            raise RegistryError(
                f"expected {FILE} of version {version} of {pipeline} from {self._url}, got {status}; register it again"
            )
        return read_rows(data)


class ReplayedSensor:
    """The sensor of one simulated device while it runs one version."""

    def __init__(self, replays: RegistryReplays, pipeline: str, version: str, start: int) -> None:
        self._replays = replays
        self._pipeline = pipeline
        self._version = version
        self._start = start
        self._replay: ReplaySensor | None = None

    def read(self, rows: int) -> dict[str, NDArray[Any]]:
        if self._replay is None:
            self._replay = ReplaySensor(self._replays.rows(self._pipeline, self._version), self._start)
        return self._replay.read(rows)
