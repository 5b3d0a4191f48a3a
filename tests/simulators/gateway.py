"""An in-memory fleet gateway: checks signatures and counts sequences as the real one does."""

from __future__ import annotations

import json
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from slipway.device.gateway import Enrolment, Reception
from slipway.errors import DeviceError, UnavailableError

TOKEN = "enrolment-token-of-the-simulator"


class GatewaySimulator:
    """Implements ``slipway.device.gateway.Gateway``; set ``reachable`` to False to cut it off."""

    def __init__(self) -> None:
        self.reachable = True
        self.enrolled: dict[str, Enrolment] = {}
        self.batches: list[dict[str, Any]] = []
        self.refuse: set[int] = set()
        self.posts = 0
        self._sequences: dict[str, int] = {}

    def enrol(self, enrolment: Enrolment, token: str) -> None:
        self._require_reachable()
        if token != TOKEN:
            raise DeviceError("enrolment answered 401: the enrolment token is wrong")
        known = self.enrolled.get(enrolment.device_id)
        if known is not None and known.public_key != enrolment.public_key:
            raise DeviceError("enrolment answered 409: this id is enrolled with another key")
        self.enrolled[enrolment.device_id] = enrolment

    def post(self, device_id: str, body: bytes, signature: str) -> Reception:
        self._require_reachable()
        self.posts += 1
        enrolment = self.enrolled.get(device_id)
        if enrolment is None:
            return "unknown_device"
        try:
            Ed25519PublicKey.from_public_bytes(bytes.fromhex(enrolment.public_key)).verify(
                bytes.fromhex(signature), body
            )
        except InvalidSignature:
            return "rejected"
        batch = json.loads(body)
        if batch["sequence"] in self.refuse:
            return "rejected"
        if batch["sequence"] > self._sequences.get(device_id, -1):
            self._sequences[device_id] = batch["sequence"]
            self.batches.append(batch)
        return "accepted"

    def events(self, kind: str | None = None) -> list[dict[str, Any]]:
        """Every event counted so far, in order."""
        return [event for batch in self.batches for event in batch["events"] if kind in {None, event["kind"]}]

    def _require_reachable(self) -> None:
        if not self.reachable:
            raise UnavailableError("no answer from the simulated gateway")
