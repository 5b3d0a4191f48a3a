"""The training's run in MLflow: one run per fingerprint, adopted by a retry."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import mlflow  # noqa: TID253 - only the training pod imports this adapter
from mlflow.entities import Metric, Param, RunTag  # noqa: TID253
from mlflow.exceptions import MlflowException  # noqa: TID253
from mlflow.tracking import MlflowClient  # noqa: TID253
from requests.exceptions import RequestException
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from slipway.errors import ConfigurationError, UnavailableError
from slipway.registry.client import raise_as, without_login

FINGERPRINT_TAG = "slipway.fingerprint"

_PROBE_SECONDS = 5.0
_PROBE_ATTEMPTS = 3
_FINAL_CODES = (
    "INVALID_PARAMETER_VALUE",
    "BAD_REQUEST",
    "PERMISSION_DENIED",
    "UNAUTHENTICATED",
    "CUSTOMER_UNAUTHORIZED",
)


class TrackedRun:
    """One MLflow run to write to."""

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self._client = client
        self.run_id = run_id

    def log(self, metrics: Mapping[str, float | None], step: int = 0) -> None:
        """Write metrics of one step (an epoch, or 0 for the final ones); those that are None are left out."""
        now = int(time.time() * 1000)
        values = [Metric(name, float(value), now, step) for name, value in metrics.items() if value is not None]
        self._client.log_batch(self.run_id, metrics=values)

    def tag(self, tags: Mapping[str, str]) -> None:
        """Write tags; a tag that is there is replaced."""
        self._client.log_batch(self.run_id, tags=[RunTag(name, value) for name, value in tags.items()])


def client_from_environment() -> MlflowClient:
    """A client of the server that MLflow's own ``MLFLOW_TRACKING_URI`` names.

    Raises:
        ConfigurationError: it is not set (MLflow would silently write to a file in the working directory), or no URL.
        UnavailableError: the server does not answer.
    """
    if not mlflow.is_tracking_uri_set():
        raise ConfigurationError(
            "expected MLFLOW_TRACKING_URI in the environment, it is not set: name the MLflow server"
        )
    uri = mlflow.get_tracking_uri()
    if _is_http(uri):
        _probe(uri)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    return MlflowClient(uri)


@contextmanager
def tracked_run(
    client: MlflowClient, experiment: str, fingerprint: str, parameters: Mapping[str, Any], tags: Mapping[str, str]
) -> Iterator[TrackedRun]:
    """The run with this fingerprint's tag, adopted or new; it ends as FINISHED, or as FAILED when the block raises.

    Raises:
        UnavailableError: MLflow does not answer, or answers with an error of its own.
        ConfigurationError: MLflow refuses the request.
    """
    with translated():
        run_id = _adopt_or_create(client, experiment, fingerprint, tags)
        client.log_batch(run_id, params=[Param(name, str(value)) for name, value in parameters.items()])
    try:
        with translated():
            yield TrackedRun(client, run_id)
    except BaseException:
        # The failure at hand is the one to report, also when MLflow is what failed.
        try:
            client.set_terminated(run_id, "FAILED")
        except MlflowException:
            logging.getLogger(__name__).warning("MLflow run %s could not be marked as failed", run_id)
        raise
    with translated():
        client.set_terminated(run_id, "FINISHED")


@contextmanager
def translated() -> Iterator[None]:
    """MLflow's exceptions, and those of its downloads, as Slipway's."""
    try:
        yield
    except (MlflowException, RequestException) as error:
        place, reason, cause = without_login(mlflow.get_tracking_uri(), error)
        if _is_final(error):
            raise_as(ConfigurationError(f"MLflow at {place} refused a request: {reason}"), cause)
        raise_as(_unavailable(place, reason), cause)


def _is_final(error: MlflowException | RequestException) -> bool:
    if isinstance(error, RequestException):
        return error.response is not None and error.response.status_code in (400, 401, 403, 404)
    return error.error_code in _FINAL_CODES


def _adopt_or_create(client: MlflowClient, experiment: str, fingerprint: str, tags: Mapping[str, str]) -> str:
    found = client.get_experiment_by_name(experiment)
    experiment_id = found.experiment_id if found else _create_experiment(client, experiment)
    runs = client.search_runs([experiment_id], f"tags.`{FINGERPRINT_TAG}` = '{fingerprint}'", max_results=1)
    if runs:
        run_id = str(runs[0].info.run_id)
        client.update_run(run_id, status="RUNNING")
        client.log_batch(run_id, tags=[RunTag(name, value) for name, value in tags.items()])
        return run_id
    named = {**tags, FINGERPRINT_TAG: fingerprint}
    return str(client.create_run(experiment_id, tags=named, run_name=fingerprint[:12]).info.run_id)


def _create_experiment(client: MlflowClient, name: str) -> str:
    try:
        return str(client.create_experiment(name))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        return str(client.get_experiment_by_name(name).experiment_id)  # another training was faster


def _is_http(uri: str) -> bool:
    try:
        return urlsplit(uri).scheme in ("http", "https")
    except ValueError:
        raise_as(_no_url(), None)


def _no_url() -> ConfigurationError:
    # Not one word of it is quoted: where it cannot be read, the login in it cannot be found.
    return ConfigurationError(
        "expected MLFLOW_TRACKING_URI as http://[login:password@]host:port, it is no URL; "
        "percent-encode special characters in the password"
    )


def _probe(uri: str) -> None:
    """Ask for the server's health before hours of training; MLflow's own retries would take minutes to give up."""
    attempts = Retrying(
        stop=stop_after_attempt(_PROBE_ATTEMPTS),
        wait=wait_random_exponential(multiplier=0.5, max=4),
        retry=retry_if_exception_type(httpx.HTTPError),
        reraise=True,
    )
    try:
        for attempt in attempts:
            with attempt:
                httpx.get(f"{uri.rstrip('/')}/health", timeout=_PROBE_SECONDS, trust_env=False).raise_for_status()
    except httpx.HTTPError as error:
        place, reason, cause = without_login(uri, error)
        raise_as(_unavailable(place, reason), cause)
    except httpx.InvalidURL:
        raise_as(_no_url(), None)


def _unavailable(place: str, reason: str) -> UnavailableError:
    return UnavailableError(
        f"expected an MLflow server at {place}, came: {reason}; start it or correct the connection, then run again"
    )
