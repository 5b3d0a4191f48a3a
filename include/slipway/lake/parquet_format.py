"""Parquet as the lake holds it: the same rows always give the same bytes.

lakeFS takes an upload of identical bytes for no change, so a repeated run commits nothing. For that every writer
option is fixed here, rows are regrouped into row groups of one size whatever batches they come in, and nothing in a
file depends on time, host or order of arrival. pyarrow's version is part of the bytes; it is pinned.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from slipway.errors import UnreadableDataError

ROW_GROUP_ROWS = 262_144
FOOTER_GUESS = 65_536
"""Bytes read from an object's end for its schema; enough for some hundred columns."""
_MAGIC = b"PAR1"
_OPTIONS = {
    "version": "2.6",
    "data_page_version": "1.0",
    "compression": "zstd",
    "compression_level": 1,
    "use_dictionary": True,
    "write_statistics": True,
    "write_page_checksum": True,
    "store_schema": True,
}


def write(batches: Iterable[pa.RecordBatch], schema: pa.Schema, sink: BinaryIO) -> int:
    """Write the batches as one Parquet file of ``schema``; returns the number of rows."""
    rows = 0
    with pq.ParquetWriter(sink, schema, **_OPTIONS) as writer:
        for table in _regrouped(batches, schema):
            writer.write_table(table, row_group_size=ROW_GROUP_ROWS)
            rows += table.num_rows
    return rows


def to_bytes(table: pa.Table) -> bytes:
    """A table as deterministic Parquet bytes, for datasets small enough to hold in memory."""
    sink = pa.BufferOutputStream()
    write(table.to_batches(), table.schema.remove_metadata(), sink)
    return bytes(sink.getvalue())


def footer_bytes(tail: bytes, name: str) -> int:
    """How many bytes at the end of a file its footer needs; raises ``UnreadableDataError`` when it is not Parquet."""
    if len(tail) < 12 or tail[-4:] != _MAGIC:
        raise UnreadableDataError(
            f"expected {name} to be a whole Parquet file, it does not end as one (truncated?); write it again"
        )
    (length,) = struct.unpack("<I", tail[-8:-4])
    return int(length) + 8


def schema_of(tail: bytes, name: str) -> pa.Schema:
    """The schema in a file's last bytes, which must hold its whole footer."""
    return opened(pa.BufferReader(tail), name).schema_arrow


def opened(source: BinaryIO | pa.NativeFile, name: str) -> pq.ParquetFile:
    """A Parquet file ready to be read; raises ``UnreadableDataError`` when it is truncated or something else."""
    try:
        return pq.ParquetFile(source, page_checksum_verification=True)
    except (pa.ArrowInvalid, OSError) as error:
        raise unreadable(name, error) from error


def batches(file: pq.ParquetFile, columns: list[str], rows: int, name: str) -> Iterator[pa.RecordBatch]:
    """Batches of at most ``rows`` rows of the given columns; raises ``UnreadableDataError`` on damaged pages."""
    try:
        yield from file.iter_batches(batch_size=rows, columns=columns, use_threads=False)
    except (pa.ArrowInvalid, OSError) as error:
        raise unreadable(name, error) from error


def unreadable(name: str, error: Exception) -> UnreadableDataError:
    """The error for a file that pyarrow cannot read."""
    return UnreadableDataError(f"expected {name} to be a whole Parquet file, came {error}; write it again")


def _regrouped(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    """Tables of exactly ``ROW_GROUP_ROWS`` rows, the last one shorter, each in one chunk."""
    held = schema.empty_table()
    for batch in batches:
        held = pa.concat_tables([held, pa.Table.from_batches([batch]).cast(schema)])
        while held.num_rows >= ROW_GROUP_ROWS:
            yield held.slice(0, ROW_GROUP_ROWS).combine_chunks()
            held = held.slice(ROW_GROUP_ROWS)
    if held.num_rows:
        yield held.combine_chunks()
