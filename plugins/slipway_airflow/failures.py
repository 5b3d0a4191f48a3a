"""Slipway's errors as Airflow understands them: what cannot succeed is not retried."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from airflow.sdk.exceptions import AirflowFailException

from slipway.errors import SlipwayError

P = ParamSpec("P")
R = TypeVar("R")


def fail_fast(function: Callable[P, R]) -> Callable[P, R]:
    """Let Airflow retry only errors that say a retry can help; all others fail the task at once."""

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except SlipwayError as error:
            if error.retryable:
                raise
            raise AirflowFailException(f"{type(error).__name__}: {error}") from error

    return wrapped
