"""Parquet bytes as a table, or a clear error."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from slipway.errors import UnreadableDataError


def read_parquet(data: bytes, where: str) -> pa.Table:
    """The table in a Parquet file, checked down to its pages.

    Raises:
        UnreadableDataError: the bytes are truncated, damaged or not Parquet; names ``where`` they came from.
    """
    try:
        table = pq.read_table(pa.BufferReader(data), page_checksum_verification=True)
        table.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        raise UnreadableDataError(
            f"{where}: expected a complete Parquet file, got {len(data)} bytes that cannot be read: {error}; "
            "the object is truncated or damaged: deliver it again, then run the partition again"
        ) from error
    return table


def concatenate(parts: Sequence[pa.Table]) -> pa.Table:
    """The parts of one dataset as one table; an empty one when there are none.

    Raises:
        UnreadableDataError: their schemas differ.
    """
    if not parts:
        return pa.table({})
    try:
        return pa.concat_tables(parts)
    except pa.ArrowException as error:
        raise UnreadableDataError(f"expected all parts of the dataset to have one schema: {error}") from error
