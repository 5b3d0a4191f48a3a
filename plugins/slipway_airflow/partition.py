"""Which partition a run is about."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from slipway.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow.sdk import Context


def partition_of(context: Context) -> dt.date:
    """The form's ``partition``, else the run's partition key, else the last complete day (UTC).

    Raises:
        ConfigurationError: the form's or key's text is not a date.
    """
    run: Any = context["dag_run"]
    text = context["params"].get("partition") or run.partition_key
    if not text:
        return run.run_after.date() - dt.timedelta(days=1)  # type: ignore[no-any-return]
    try:
        return dt.date.fromisoformat(str(text)[:10])
    except ValueError as error:
        raise ConfigurationError(f"partition: expected a date such as 2013-02-01, got {text!r}") from error
