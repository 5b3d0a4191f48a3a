"""The ``kubernetes`` runtime: what a cluster says of a pod, as errors a scheduler can act on.

Starting and watching the pod is the operator's (``slipway_airflow.pod_task``); what its end means is decided here,
the same way as for the other runtimes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from slipway.errors import (
    ConfigurationError,
    PodDeadlineError,
    PodError,
    PodFailedError,
    SlipwayError,
    UnavailableError,
)
from slipway.pods.process import pod_failure

_REFUSED = frozenset({400, 401, 403, 422})


def ended_badly(status: Any, manifest: str) -> PodError | None:
    """The error for a pod whose phase is ``Failed``; ``None`` for any other phase.

    Args:
        status: the pod's status (the Kubernetes client's ``V1PodStatus``), ``None`` when there never was a pod.
        manifest: what to name as the place to change the deadline.
    """
    if getattr(status, "phase", None) != "Failed":
        return None
    if status.reason == "DeadlineExceeded":
        return PodDeadlineError(
            "the pod ran longer than activeDeadlineSeconds and the cluster killed it; raise the deadline in "
            f"{manifest} or give it less to do"
        )
    stopped = next((each.state.terminated for each in status.container_statuses or [] if each.state.terminated), None)
    # A reason of the pod itself (Evicted, Preempted, NodeLost) is the cluster's doing, whatever the exit code.
    if status.reason or stopped is None:
        return _retryable(f"the cluster ended the pod: {status.reason or 'no reason given'}: {status.message or ''}")
    return pod_failure(stopped.exit_code, f"{stopped.reason or 'Error'}: {stopped.message or ''}")


def not_run(error: BaseException) -> SlipwayError:
    """The error for a pod that did not come to an end because of ``error``, judged with all that led to it."""
    from kubernetes.client.exceptions import ApiException
    from kubernetes.config import ConfigException
    from urllib3.exceptions import HTTPError

    for cause in _causes(error):
        if isinstance(cause, ApiException):
            return _answered(cause)
        if isinstance(cause, HTTPError):
            return UnavailableError(
                "the Kubernetes API did not answer; check that the cluster is up and that connection "
                f"slipway_compute's kubernetes_conn_id names it: {cause}"
            )
        if isinstance(cause, ConfigException):
            return ConfigurationError(f"expected a usable kubeconfig in the Kubernetes connection, but: {cause}")
    *_, first = _causes(error)
    return _retryable(f"the pod did not run on the cluster: {first}")


def _answered(error: Any) -> SlipwayError:
    text = f"the Kubernetes API answered {error.status} {error.reason}: {_message(error)}"
    # A quota is the one refusal that time heals.
    if error.status in _REFUSED and "exceeded quota" not in text:
        return ConfigurationError(f"{text}; correct the manifest, the namespace or what the connection may do")
    if error.status == 429 or error.status >= 500:
        return UnavailableError(text)
    return _retryable(text)


def _message(error: Any) -> str:
    try:
        return str(json.loads(error.body)["message"])
    except (KeyError, TypeError, ValueError):
        return str(error.body)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, then what it was raised from or while handling, back to the first."""
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__ or current.__context__


def _retryable(text: str) -> PodFailedError:
    failure = PodFailedError(text)
    failure.retryable = True
    return failure
