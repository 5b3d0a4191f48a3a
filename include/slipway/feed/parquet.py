"""Raw tables as the bytes the lake holds."""

from __future__ import annotations

import pyarrow as pa

from slipway.lake import parquet_format


def to_parquet(table: pa.Table) -> bytes:
    """One Parquet file; equal tables give equal bytes, however they are chunked and whatever their metadata.

    Pages carry checksums, so a reader notices bytes that changed on the way.
    """
    return parquet_format.to_bytes(table.replace_schema_metadata(None))
