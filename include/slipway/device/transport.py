"""HTTP to the gateway: one pool of kept-alive connections, also under TUF's client."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import urllib3
from tuf.api.exceptions import DownloadError, DownloadHTTPError
from tuf.ngclient.fetcher import FetcherInterface

from slipway.errors import UnavailableError

_CHUNK_BYTES = 256 * 1024


class Transport:
    """Requests without retries (the agent comes again at its next step) and with a bounded wait, in seconds."""

    def __init__(self, timeout_seconds: float = 5.0, connections: int = 8) -> None:
        self._pool = urllib3.PoolManager(
            maxsize=connections,
            retries=False,
            timeout=urllib3.Timeout(timeout_seconds),
            headers={"User-Agent": "slipway-device"},
        )

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Status and body of the answer; raises UnavailableError if there is none."""
        try:
            answer = self._pool.request("POST", url, body=body, headers={"Content-Type": "application/json", **headers})
        except urllib3.exceptions.HTTPError as error:
            raise UnavailableError(f"no answer from {url} ({type(error).__name__}); check the gateway") from error
        return answer.status, answer.data

    def get(self, url: str, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
        """Status and body of the answer; raises UnavailableError if there is none."""
        try:
            answer = self._pool.request("GET", url, headers={**self._pool.headers, **(headers or {})})
        except urllib3.exceptions.HTTPError as error:
            raise UnavailableError(f"no answer from {url} ({type(error).__name__}); check the service") from error
        return answer.status, answer.data

    def stream(self, url: str) -> urllib3.BaseHTTPResponse:
        """An answer whose body is still to be read."""
        return self._pool.request("GET", url, preload_content=False)


class TransportFetcher(FetcherInterface):
    """Lets TUF's client download through a Transport."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def _fetch(self, url: str) -> Iterator[bytes]:
        answer = self._transport.stream(url)
        if answer.status != 200:
            answer.drain_conn()
            answer.release_conn()
            raise DownloadHTTPError(f"{url} answered {answer.status}", answer.status)
        return self._chunks(answer)

    def _chunks(self, answer: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        try:
            yield from answer.stream(_CHUNK_BYTES)
        except urllib3.exceptions.HTTPError as error:
            raise DownloadError(f"the download broke off ({type(error).__name__})") from error
        finally:
            answer.release_conn()
