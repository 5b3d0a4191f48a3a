"""Make this device known to its gateway, and again should the gateway forget it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from slipway.device.gateway import Enrolment, Gateway
from slipway.errors import DeviceError

_log = logging.getLogger(__name__)
_REFUSED_WAIT_SECONDS = 30.0


class Enroller:
    """Enrols at the first chance; without a token the device counts as enrolled by other means."""

    def __init__(
        self, gateway: Gateway, enrolment: Enrolment, token: str | None, clock: Callable[[], float] = time.time
    ) -> None:
        self._gateway = gateway
        self._enrolment = enrolment
        self._token = token
        self._clock = clock
        self._enrolled = token is None
        self._again_at = float("-inf")

    def ready(self) -> bool:
        """Whether telemetry may be posted now; tries to enrol if that is still to be done.

        Raises:
            UnavailableError: the gateway did not answer.
            DeviceError: the gateway refused; it is asked again half a minute later.
        """
        if self._enrolled or self._token is None:
            return self._enrolled
        if self._clock() < self._again_at:
            return False
        try:
            self._gateway.enrol(self._enrolment, self._token)
        except DeviceError as error:
            self._again_at = self._clock() + _REFUSED_WAIT_SECONDS
            _log.error("%s is not enrolled: %s", self._enrolment.device_id, error)
            raise
        self._enrolled = True
        return True

    def forgotten(self) -> None:
        """The gateway does not know this device any more."""
        _log.warning("the gateway does not know %s", self._enrolment.device_id)
        self._enrolled = False
        self._again_at = self._clock() + _REFUSED_WAIT_SECONDS
