"""Whether a service works: it answers, not merely runs."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from slipway.embedded import postgres
from slipway.embedded.environment import Environment
from slipway.embedded.ports import is_open
from slipway.embedded.services import Service
from slipway.embedded.supervision import ProcessState

_SECONDS = 10.0
"""A server that is busy with its first requests answers late."""


class Probes:
    """Asks services; one HTTP client for all."""

    def __init__(self, environment: Environment) -> None:
        self._password = environment.secrets.get("internal", "postgres_password")
        # trust_env: a proxy of the user's must not get in between.
        self._client = httpx.Client(timeout=_SECONDS, trust_env=False)

    def works(self, service: Service, state: ProcessState | None) -> bool:
        """Whether the service runs and answers now. Raises ConfigurationError when PostgreSQL refuses its password."""
        if state is None or not state.running:
            return False
        if service.name == "postgres" and service.port is not None:
            return postgres.answers(service.port, self._password)
        if service.ready is not None:
            return self._answers(service.ready, _any_success)
        if service.health is not None:
            url, component = service.health
            return self._answers(url, lambda answer: answer.json().get(component, {}).get("status") == "healthy")
        return is_open(service.port) if service.port is not None else state.state == "RUNNING"

    def _answers(self, url: str, accept: Callable[[httpx.Response], bool]) -> bool:
        try:
            answer = self._client.get(url)
        except httpx.TransportError:
            return False
        return answer.is_success and accept(answer)

    def close(self) -> None:
        self._client.close()


def _any_success(_answer: httpx.Response) -> bool:
    return True
