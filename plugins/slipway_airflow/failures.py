"""Slipway's errors as Airflow understands them: what cannot succeed is not retried."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from airflow.sdk.exceptions import AirflowFailException

from slipway.errors import SlipwayError
from slipway_airflow.effects import step

P = ParamSpec("P")
R = TypeVar("R")


def fail_fast(function: Callable[P, R]) -> Callable[P, R]:
    """Let Airflow retry only errors that say a retry can help; all others fail the task at once.

    What the function changes through ``slipway_airflow.connections`` is recorded as the effects of one step.
    """

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with step():
                return function(*args, **kwargs)
        except SlipwayError as error:
            if error.retryable:
                raise
            raise AirflowFailException(f"{type(error).__name__}: {error}") from error

    return wrapped
