"""Which rows of a source belong to a partition: by their own date, or by their place in the file."""

from __future__ import annotations

import calendar
import datetime as dt

import pyarrow as pa
import pyarrow.compute as pc

ROW_COLUMN = "row"
"""int64, position in the file from 0; added to tables that are cut by ``rows_per_day``."""

_EPOCH = dt.date(1970, 1, 1)


def source_day(partition: dt.date, replay_year: int | None) -> dt.date:
    """The calendar day of the source that serves ``partition``.

    Without ``replay_year`` that is the partition itself; with it, the same month and day of that year. Where that
    year has no 29 February, the 28th is served, so every partition of a leap year has data.
    """
    if replay_year is None:
        return partition
    if (partition.month, partition.day) == (2, 29) and not calendar.isleap(replay_year):
        return dt.date(replay_year, 2, 28)
    return partition.replace(year=replay_year)


def rows_of_date(table: pa.Table, columns: tuple[str, str, str], day: dt.date) -> pa.Table:
    """The rows whose (year, month, day) columns name ``day``, in the order of the file."""
    parts = zip(columns, (day.year, day.month, day.day), strict=True)
    masks = [pc.equal(table.column(column), value) for column, value in parts]
    return table.filter(pc.and_(pc.and_(masks[0], masks[1]), masks[2]))


def rows_of_batch(table: pa.Table, rows_per_day: int, day: dt.date) -> pa.Table:
    """Batch *n mod batches* of the file for day *n* since 1970-01-01, with ``row`` appended; the last may be short."""
    batches = -(-table.num_rows // rows_per_day)
    if batches == 0:
        return _with_row_numbers(table, 0)
    start = (day - _EPOCH).days % batches * rows_per_day
    return _with_row_numbers(table.slice(start, rows_per_day), start)


def _with_row_numbers(table: pa.Table, start: int) -> pa.Table:
    return table.append_column(ROW_COLUMN, pa.array(range(start, start + table.num_rows), pa.int64()))
