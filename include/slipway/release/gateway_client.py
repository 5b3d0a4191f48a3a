"""The fleet gateway over HTTP, as its operator: evidence, the fleet's history, and the removal of devices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from slipway.connections import ChannelConnection
from slipway.errors import ReleaseError, UnavailableError, UnknownDeviceError
from slipway.release.evidence import Device, DeviceEvidence
from slipway.release.fleet_history import Ran

_VERSIONS_PER_QUESTION = 10_000


class _Answer(BaseModel):
    # The gateway may learn to say more before this client does, so unknown keys are let through.
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


A = TypeVar("A", bound=_Answer)


def _path(device_id: str) -> str:
    return f"/v1/devices/{quote(device_id, safe='')}"


class _DeviceRow(_Answer):
    device_id: str
    target: str
    version: str | None
    last_seen: float | None


class _EvidenceRow(_Answer):
    device_id: str
    version: str
    outcome: Literal["installed", "refused", "failed", "rolled_back"] | None
    reason: str | None
    golden_agreement: float | None
    inferences: int
    errors: int
    p95_ms: float | None
    predictions: dict[str, int]


class _Devices(_Answer):
    devices: tuple[_DeviceRow, ...]


class _Evidence(_Answer):
    devices: tuple[_EvidenceRow, ...]


class _Stretch(_Answer):
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

    def value(self) -> Ran:
        return Ran(**vars(self))


class _Running(_Answer):
    running: _Stretch | None


class _History(_Answer):
    stretches: tuple[_Stretch, ...]
    next: int | None


class _RanVersions(_Answer):
    stretches: tuple[_Stretch, ...]
    next: tuple[str, int] | None


class GatewayClient:
    """Reads devices, evidence and the fleet's history, and removes devices, with the operator token.

    An unreachable gateway is asked again a few times. Raises UnavailableError when it does not answer or fails,
    ReleaseError when it refuses the token or answers something else than expected.
    """

    def __init__(
        self, connection: ChannelConnection, *, attempts: int = 4, transport: httpx.BaseTransport | None = None
    ) -> None:
        self._url = connection.gateway.rstrip("/")
        self._attempts = attempts
        # trust_env: a proxy of the user's must not get in between, least of all with the operator's token.
        self._http = httpx.Client(
            headers={"Authorization": f"Bearer {connection.operator_token}"},
            timeout=10.0,
            transport=transport,
            trust_env=False,
        )

    def devices(self, pipeline: str) -> tuple[Device, ...]:
        """Every enrolled device of the pipeline, ordered by id."""
        answer = self._get("/v1/devices", _Devices, pipeline=pipeline)
        return tuple(Device(**row.model_dump()) for row in answer.devices)

    def evidence(self, pipeline: str, release: str, version: str) -> tuple[DeviceEvidence, ...]:
        """What each device reported about the version within the release, ordered by device id."""
        answer = self._get("/v1/evidence", _Evidence, pipeline=pipeline, release=release, version=version)
        return tuple(DeviceEvidence(**row.model_dump()) for row in answer.devices)

    def running(self, device_id: str, at: float) -> Ran | None:
        """What the device ran ``at`` (Unix seconds); ``None`` when nothing is known of that time.

        Raises UnknownDeviceError for a device that never enrolled.
        """
        answer = self._of_device(device_id, "running", _Running, at=repr(at)).running
        return None if answer is None else answer.value()

    def history(self, device_id: str) -> tuple[Ran, ...]:
        """All the device ran, oldest first. Raises UnknownDeviceError for a device that never enrolled."""
        page = self._of_device(device_id, "history", _History)
        stretches = list(page.stretches)
        while page.next is not None:
            page = self._of_device(device_id, "history", _History, after=str(page.next))
            stretches += page.stretches
        return tuple(stretch.value() for stretch in stretches)

    def devices_of(self, pipeline: str, versions: Sequence[str]) -> tuple[Ran, ...]:
        """Every time any device, removed ones too, ran one of the versions, ordered by device and time."""
        distinct = sorted(set(versions))
        found: list[Ran] = []
        for first in range(0, len(distinct), _VERSIONS_PER_QUESTION):
            found += self._ran(pipeline, distinct[first : first + _VERSIONS_PER_QUESTION])
        return tuple(sorted(found, key=lambda ran: (ran.device_id, ran.since)))

    def remove(self, pipeline: str, device_id: str) -> bool:
        """Make the gateway forget a device and its reports, all but its history; ``False`` for no such device."""
        response = self._ask("DELETE", _path(device_id), (204, 404), pipeline=pipeline)
        return response.status_code == 204

    def _ran(self, pipeline: str, versions: list[str]) -> Iterator[Ran]:
        after: tuple[str, int] | None = None
        while True:
            asked = {"pipeline": pipeline, "versions": versions, "after": after}
            page = self._read(self._ask("POST", "/v1/ran", (200,), asked), _RanVersions)
            yield from (stretch.value() for stretch in page.stretches)
            if page.next is None:
                return
            after = page.next

    def _of_device(self, device_id: str, what: str, kind: type[A], **query: str) -> A:
        response = self._ask("GET", f"{_path(device_id)}/{what}", (200, 404), **query)
        if response.status_code == 404:
            raise UnknownDeviceError(
                f"expected a device known to the gateway at {self._url}, got {device_id!r}; list the pipeline's devices"
            )
        return self._read(response, kind)

    def _get(self, path: str, kind: type[A], **query: str) -> A:
        return self._read(self._ask("GET", path, (200,), **query), kind)

    def _read(self, response: httpx.Response, kind: type[A]) -> A:
        try:
            return kind.model_validate_json(response.content)
        except ValidationError as error:
            problems = error.errors(include_url=False, include_input=False)[:3]
            raise ReleaseError(f"{response.url} gave an unexpected answer: {problems}") from error

    def _ask(
        self, method: str, path: str, expected: tuple[int, ...], body: object = None, **query: str
    ) -> httpx.Response:
        retrying = Retrying(
            retry=retry_if_exception_type(UnavailableError),
            stop=stop_after_attempt(self._attempts),
            wait=wait_exponential_jitter(initial=0.2, max=3.0),
            reraise=True,
        )
        response: httpx.Response = retrying(self._once, method, path, body, query)
        if response.status_code not in expected:
            code, said = response.status_code, response.text[:200]
            raise ReleaseError(f"expected {expected[0]} from {response.url}, got {code}: {said}")
        return response

    def _once(self, method: str, path: str, body: object, query: dict[str, Any]) -> httpx.Response:
        try:
            response = self._http.request(method, self._url + path, params=query, json=body)
        except httpx.TransportError as error:
            raise UnavailableError(f"the gateway at {self._url} does not answer ({error}); is it running?") from error
        if response.status_code >= 500 or response.status_code == 429:
            raise UnavailableError(f"the gateway at {self._url} answered {response.status_code}; see its log")
        if response.status_code == 401:
            raise ReleaseError(f"the gateway at {self._url} refuses the operator token; check slipway_channel")
        return response
