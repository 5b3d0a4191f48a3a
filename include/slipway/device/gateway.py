"""What the agent says to the fleet gateway."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal, Protocol

from slipway.device.transport import Transport
from slipway.errors import DeviceError, UnavailableError

Reception = Literal["accepted", "unknown_device", "rejected"]


@dataclass(frozen=True)
class Enrolment:
    """What a device tells the gateway once; ``public_key`` is hex Ed25519."""

    device_id: str
    public_key: str
    target: str
    architecture: str
    pipeline: str


class Gateway(Protocol):
    """The two things a device tells its gateway."""

    def enrol(self, enrolment: Enrolment, token: str) -> None:
        """Register the device's key; the same key again is fine.

        Raises:
            UnavailableError: no answer.
            DeviceError: the token is wrong, or the id is taken by another key.
        """

    def post(self, device_id: str, body: bytes, signature: str) -> Reception:
        """Hand in one telemetry batch; raises UnavailableError if it must be sent again later."""


class HttpGateway:
    """The gateway over HTTP; ``url`` is its base URL."""

    def __init__(self, url: str, transport: Transport) -> None:
        self._url = url.rstrip("/")
        self._transport = transport

    def enrol(self, enrolment: Enrolment, token: str) -> None:
        status, answer = self._transport.post(
            f"{self._url}/v1/enrol",
            json.dumps(enrolment.__dict__).encode(),
            {"Authorization": f"Bearer {token}"},
        )
        if status in {200, 201}:
            return
        _require_presence(status)
        reasons = {
            401: "the enrolment token is wrong; read it again from the stack's secrets",
            409: "this id is enrolled with another key; remove it (`slipway fleet remove`) or use another id",
        }
        detail = answer[:200].decode(errors="replace")
        raise DeviceError(f"enrolment answered {status}: {reasons.get(status, detail)}")

    def post(self, device_id: str, body: bytes, signature: str) -> Reception:
        headers = {"X-Slipway-Device": device_id, "X-Slipway-Signature": signature}
        status, _ = self._transport.post(f"{self._url}/v1/telemetry", body, headers)
        if 200 <= status < 300:
            return "accepted"
        _require_presence(status)
        return "unknown_device" if status == 404 else "rejected"


def _require_presence(status: int) -> None:
    if status >= 500 or status in {408, 429}:
        raise UnavailableError(f"the gateway answered {status}; it is tried again later")
