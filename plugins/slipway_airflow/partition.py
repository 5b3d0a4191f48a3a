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
        ConfigurationError: the form's or key's text is not a date, or a day that has not ended: a slip of the year
            would otherwise become data that every later training takes for its newest.
    """
    run: Any = context["dag_run"]
    text = context["params"].get("partition") or run.partition_key
    if not text:
        return run.run_after.astimezone(dt.UTC).date() - dt.timedelta(days=1)  # type: ignore[no-any-return]
    day, today = _date("partition", str(text)[:10]), dt.datetime.now(dt.UTC).date()
    if day >= today:
        raise ConfigurationError(f"partition: expected a day that has ended (UTC, before {today}), got {day}")
    return day


def training_end(context: Context) -> dt.date | None:
    """The last day a training run may use: the form's ``until``, else the end of the month that set it off.

    ``None`` for a run by hand without either: all there is.

    Raises:
        ConfigurationError: the form's or key's text is neither a date nor a month.
    """
    run: Any = context["dag_run"]
    if text := context["params"].get("until"):
        return _date("until", str(text)[:10])
    if not run.partition_key:
        return None
    first = _date("partition key", f"{run.partition_key}"[:7] + "-01")
    return (first + dt.timedelta(days=31)).replace(day=1) - dt.timedelta(days=1)


def _date(what: str, text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(f"{what}: expected a date such as 2013-02-01, got {text!r}") from error
