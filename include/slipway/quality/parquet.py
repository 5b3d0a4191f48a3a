"""Parquet bytes as a table, or a clear error."""

from __future__ import annotations

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
