"""Which partition a run is about."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from slipway.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow.sdk import Context


def partition_of(context: Context, first: dt.date | None = None) -> dt.date:
    """The form's ``partition``, else the run's partition key, else the last complete day (UTC).

    Args:
        context: the context of one of the run's tasks.
        first: the pipeline's ``start``; ``None`` takes any day that has ended.

    Raises:
        ConfigurationError: the form's or key's text is not a date, or a day that has not ended: a slip of the year
            would otherwise become data that every later training takes for its newest. Or a day before ``first``: a
            feed that replays one year has something for it all the same.
    """
    day, today = _day_of(context), dt.datetime.now(dt.UTC).date()
    if day >= today:
        raise ConfigurationError(f"partition: expected a day that has ended (UTC, before {today}), got {day}")
    if first and day < first:
        raise ConfigurationError(f"partition: expected a day from {first} (the pipeline's start) on, got {day}")
    return day


def _day_of(context: Context) -> dt.date:
    run: Any = context["dag_run"]
    if text := context["params"].get("partition") or run.partition_key:
        return _date("partition", str(text)[:10])
    return run.run_after.astimezone(dt.UTC).date() - dt.timedelta(days=1)  # type: ignore[no-any-return]


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
