"""MLflow's client with bounded patience, and its errors translated once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from requests.exceptions import RequestException

from slipway.connections import MlflowConnection
from slipway.errors import RegistryError, SlipwayError, UnavailableError

if TYPE_CHECKING:
    from mlflow import MlflowClient

_DEFAULTS = {
    # What is registered here is nobody else's business. Also, MLflow 3.17's reporting thread removes a variable from
    # the environment while a request may be reading it, which fails the request with a KeyError.
    "MLFLOW_DISABLE_TELEMETRY": True,
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": 3,
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": 1,
    "MLFLOW_HTTP_REQUEST_TIMEOUT": 30,
}
_CREDENTIALS = re.compile(r"://\S*@")
"""Up to the last ``@`` of a word: a password that nobody percent-encoded may hold ``/`` and ``@`` itself."""
_UNAVAILABLE = {"TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"}


def connect(connection: MlflowConnection) -> MlflowClient:
    """A client of the tracking and registry server; nothing is asked of the server yet."""
    from mlflow import MlflowClient, environment_variables, telemetry

    # MLflow's own defaults try an unreachable server for four minutes. Its retries are settable through its
    # variables alone; what an operator has set stays.
    for name, value in _DEFAULTS.items():
        variable = getattr(environment_variables, name)
        if not variable.is_set():
            variable.set(value)
    telemetry.set_telemetry_client()  # reads its variable again; without it the client made at import stays
    return MlflowClient(tracking_uri=connection.tracking_uri, registry_uri=connection.tracking_uri)


@contextmanager
def translated(connection: MlflowConnection) -> Iterator[None]:
    """Turn MLflow's errors into Slipway's.

    Raises:
        UnavailableError: the server does not answer, or not now.
        RegistryError: it refused.
    """
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, RequestException) as error:
        place, reason, cause = without_login(connection.tracking_uri, error)
        if _is_unavailable(error):
            unavailable = f"expected MLflow at {place}, but it does not answer: {reason}; "
            raise_as(UnavailableError(f"{unavailable}start it or correct the connection mlflow_default"), cause)
        raise_as(RegistryError(f"MLflow at {place} refused: {reason}"), cause)


def without_login(uri: str, error: Exception) -> tuple[str, str, Exception | None]:
    """The server's address, an error's text, and the error as a cause, as far as they may reach a log.

    Messages of MLflow and of HTTP clients quote the URL; where that holds a password, the original is left out too.
    """
    cause = None if _CREDENTIALS.search(uri) else error
    return _CREDENTIALS.sub("://", uri), _CREDENTIALS.sub("://", str(error)), cause


def raise_as(found: SlipwayError, cause: Exception | None) -> NoReturn:
    """Raise ``found`` from its cause; without one, nothing of the exception being handled stays on it.

    ``from None`` alone only hides that exception: it remains as ``__context__``, which error reporters may follow.
    """
    try:
        raise found from cause
    except SlipwayError:
        if cause is None:
            found.__context__ = None
        raise


def code_of(error: Exception) -> str:
    """MLflow's name of an error, such as ``RESOURCE_DOES_NOT_EXIST``."""
    return str(getattr(error, "error_code", ""))


def _is_unavailable(error: Exception) -> bool:
    from mlflow.exceptions import RestException

    if isinstance(error, RequestException):
        return error.response is None or error.response.status_code in (429, *range(500, 600))
    if isinstance(error, RestException) and code_of(error) == "INTERNAL_ERROR":
        return True
    # A request that got no answer is raised inside the handler of the transport's own error.
    return code_of(error) in _UNAVAILABLE or isinstance(error.__cause__ or error.__context__, RequestException)
