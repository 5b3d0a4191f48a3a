"""The signed channel as the device sees it: TUF metadata, the order for its pipeline, and verified downloads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tuf.api.exceptions import DownloadError, DownloadLengthMismatchError, ExpiredMetadataError, RepositoryError
from tuf.api.metadata import Metadata
from tuf.ngclient.updater import Updater

from slipway.device.order import ChannelOrder, parse_order
from slipway.device.transport import Transport, TransportFetcher
from slipway.errors import DeviceError, UnavailableError, UntrustedError

_TIMESTAMP_BYTES = 16_384


@dataclass(frozen=True)
class SignedFile:
    """A file the channel vouches for; ``announced`` is what was signed about it."""

    path: str
    sha256: str
    length: int
    announced: Mapping[str, object]


class Channel(Protocol):
    """Where orders and files come from. Every method may raise UnavailableError, UntrustedError or DeviceError."""

    def poll(self) -> ChannelOrder | None:
        """The order now in force; ``None`` while nothing was published for this pipeline.

        Raises also ChannelError: the signed order is not one.
        """

    def find(self, path: str) -> SignedFile | None:
        """The signed file of that path, in the state of the last poll."""

    def download(self, path: str, destination: Path) -> None:
        """Write the verified file to ``destination``; nothing is written if it does not verify."""


@dataclass(frozen=True)
class _Verified:
    timestamp: bytes
    good_until: float
    order: ChannelOrder | None


class TufChannel:
    """A TUF repository behind a gateway: ``<gateway>/tuf/metadata`` and ``<gateway>/tuf/targets``.

    Between full refreshes a poll fetches ``timestamp.json`` alone: while its bytes are those already verified and no
    verified metadata has expired, nothing else can have changed but the root, which the next full refresh looks at.

    Args:
        gateway: base URL.
        pipeline: whose orders to follow.
        state: folder for TUF's own cache.
        root: the root metadata the device was provisioned with; the anchor of all trust.
        transport: HTTP.
        clock: seconds since the epoch.
        full_refresh_seconds: longest time between two full refreshes.
    """

    def __init__(
        self,
        *,
        gateway: str,
        pipeline: str,
        state: Path,
        root: bytes,
        transport: Transport,
        clock: Callable[[], float] = time.time,
        full_refresh_seconds: float = 60.0,
    ) -> None:
        self._base = f"{gateway.rstrip('/')}/tuf"
        self._pipeline = pipeline
        self._state = state
        self._root = root
        self._fetcher = TransportFetcher(transport)
        self._clock = clock
        self._full_refresh_seconds = full_refresh_seconds
        self._verified: _Verified | None = None
        self._updater: Updater | None = None

    def poll(self) -> ChannelOrder | None:
        with self._translated("the channel's metadata"):
            if self._verified is None or not self._unchanged(self._verified):
                self._verified = None
                self._verified = self._refresh()
            return self._verified.order

    def find(self, path: str) -> SignedFile | None:
        with self._translated(path):
            info = self._open().get_targetinfo(path)
        if info is None:
            return None
        return SignedFile(path, info.hashes.get("sha256", ""), info.length, dict(info.custom or {}))

    def download(self, path: str, destination: Path) -> None:
        with self._translated(path):
            info = self._open().get_targetinfo(path)
            if info is None:
                raise UntrustedError(f"expected a signed file {path} in the channel, it has none; publish it")
            self._open().download_target(info, str(destination))

    def _unchanged(self, verified: _Verified) -> bool:
        if self._clock() >= verified.good_until:
            return False
        now = self._fetcher.download_bytes(f"{self._base}/metadata/timestamp.json", _TIMESTAMP_BYTES)
        return now == verified.timestamp

    def _refresh(self) -> _Verified:
        self._updater = None
        updater = self._open()
        updater.refresh()
        order = self._order(updater)
        metadata = self._state / "metadata"
        expiries = [_expiry(metadata / f"{role}.json") for role in ("root", "timestamp", "snapshot", "targets")]
        good_until = min(*expiries, self._clock() + self._full_refresh_seconds)
        return _Verified((metadata / "timestamp.json").read_bytes(), good_until, order)

    def _open(self) -> Updater:
        if self._updater is None:
            metadata, targets = self._state / "metadata", self._state / "targets"
            metadata.mkdir(parents=True, exist_ok=True)
            targets.mkdir(parents=True, exist_ok=True)
            self._updater = Updater(
                str(metadata),
                f"{self._base}/metadata/",
                str(targets),
                f"{self._base}/targets/",
                fetcher=self._fetcher,
                bootstrap=self._root,
            )
        return self._updater

    def _order(self, updater: Updater) -> ChannelOrder | None:
        info = updater.get_targetinfo(f"{self._pipeline}/channel.json")
        if info is None:
            return None
        file = updater.find_cached_target(info) or updater.download_target(info)
        return parse_order(Path(file).read_bytes(), self._pipeline)

    @contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        """TUF's and the system's errors as the device's own; messages are stable, so each is reported once."""
        try:
            yield
        except ExpiredMetadataError as error:
            raise UntrustedError(
                f"{error}: the channel is stale or this device's clock is wrong; publish the channel again"
            ) from error
        except DownloadLengthMismatchError as error:
            raise UntrustedError(f"{what} is longer than was signed; restore or publish it again") from error
        except DownloadError as error:
            raise UnavailableError(
                f"expected {what} from {self._base}, got none ({error}); it is tried again"
            ) from error
        except RepositoryError as error:
            raise UntrustedError(f"{what} does not verify ({error}); restore or publish it again") from error
        except OSError as error:
            raise DeviceError(f"could not write {what} to this device ({error.strerror}); free its disk") from error


def _expiry(path: Path) -> float:
    metadata: Metadata[Any] = Metadata.from_bytes(path.read_bytes())
    return float(metadata.signed.expires.timestamp())
