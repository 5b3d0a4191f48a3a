"""Columns in numbers, the same on every machine: sums are rounded to ten significant digits."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from slipway.quality.report import ColumnStatistics, Histogram

_BINS = 20
_TOP = 8


def describe(table: pa.Table) -> tuple[ColumnStatistics, ...]:
    """Statistics of every column, in the table's order."""
    return tuple(_describe(name, table.column(name)) for name in table.column_names)


def is_number(kind: pa.DataType) -> bool:
    """Whether a column of this type has a range and a histogram."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _describe(name: str, column: pa.ChunkedArray) -> ColumnStatistics:
    nulls, kind = column.null_count, str(column.type)
    values = column.drop_null()
    distinct = len(values.unique()) if not pa.types.is_nested(column.type) else 0
    if is_number(column.type):
        numbers = values.to_numpy().astype(np.float64)
        numbers = numbers[np.isfinite(numbers)]
        if numbers.size == 0:
            return ColumnStatistics(name, kind, nulls, distinct)
        return ColumnStatistics(
            name,
            kind,
            nulls,
            distinct,
            minimum=float(numbers.min()),
            maximum=float(numbers.max()),
            mean=_rounded(numbers.mean()),
            histogram=_histogram(numbers),
        )
    return ColumnStatistics(name, kind, nulls, distinct, top=_most_frequent(values))


def _histogram(numbers: np.ndarray) -> Histogram:
    low, high = float(numbers.min()), float(numbers.max())
    if low == high or not np.isfinite(high - low):  # one value, or a range that overflows: nothing to divide
        return Histogram((low, high), (int(numbers.size),))
    counts, edges = np.histogram(numbers, bins=_BINS, range=(low, high))
    return Histogram(tuple(_rounded(edge) for edge in edges), tuple(int(count) for count in counts))


def _most_frequent(values: pa.ChunkedArray) -> tuple[tuple[str, int], ...]:
    if pa.types.is_nested(values.type):
        return ()
    counted = [(str(entry["values"]), entry["counts"]) for entry in pc.value_counts(values).to_pylist()]
    return tuple(sorted(counted, key=lambda entry: (-entry[1], entry[0]))[:_TOP])


def _rounded(value: float) -> float:
    return float(f"{value:.10g}")
