"""Parquet as the lake holds it: the same rows always give the same bytes.

lakeFS takes an upload of identical bytes for no change, so a repeated run commits nothing. For that every writer
option is fixed here, rows are regrouped into row groups of one size whatever batches they come in, and nothing in a
file depends on time, host or order of arrival. pyarrow's version is part of the bytes; it is pinned.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from slipway.errors import UnreadableDataError

ROW_GROUP_ROWS = 262_144
FOOTER_GUESS = 65_536
"""Bytes read from an object's end for its schema; enough for some hundred columns."""
_SAMPLE_ROWS = 16_384
_MAGIC = b"PAR1"
_OPTIONS = {
    "version": "2.6",
    "data_page_version": "1.0",
    "compression": "zstd",
    "compression_level": 1,
    "write_statistics": True,
    "write_page_checksum": True,
    "store_schema": True,
}


def write(batches: Iterable[pa.RecordBatch], schema: pa.Schema, sink: BinaryIO) -> int:
    """Write the batches as one Parquet file of ``schema``; returns the number of rows."""
    rows = 0
    tables = _regrouped(batches, schema)
    first = next(tables, schema.empty_table())
    with pq.ParquetWriter(sink, schema, use_dictionary=_dictionaries(first), **_OPTIONS) as writer:
        for table in chain([first] if first.num_rows else [], tables):
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


def row_group_bytes(tail: bytes, name: str) -> list[int]:
    """The size in bytes of each row group as stored, from a file's last bytes, which must hold its whole footer."""
    metadata = opened(pa.BufferReader(tail), name).metadata
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    return [sum(group.column(at).total_compressed_size for at in range(group.num_columns)) for group in groups]


def opened(source: BinaryIO | pa.NativeFile, name: str) -> pq.ParquetFile:
    """A Parquet file ready to be read; raises ``UnreadableDataError`` when it is truncated or something else."""
    try:
        return pq.ParquetFile(source, page_checksum_verification=True, pre_buffer=True)
    except (pa.ArrowInvalid, OSError) as error:
        raise unreadable(name, error) from error


def batches(
    file: pq.ParquetFile, columns: list[str], rows: int, name: str, groups: Iterable[int] | None = None
) -> Iterator[pa.RecordBatch]:
    """Batches of at most ``rows`` rows of the given columns, all row groups or some, one group in memory at a time.

    Raises ``UnreadableDataError`` on damaged pages.
    """
    try:
        for group in range(file.num_row_groups) if groups is None else groups:
            yield from file.iter_batches(batch_size=rows, row_groups=[group], columns=columns, use_threads=False)
    except (pa.ArrowInvalid, OSError) as error:
        raise unreadable(name, error) from error


def unreadable(name: str, error: Exception) -> UnreadableDataError:
    """The error for a file that pyarrow cannot read."""
    return UnreadableDataError(f"expected {name} to be a whole Parquet file, came {error}; write it again")


def _dictionaries(table: pa.Table) -> list[str] | bool:
    """The columns whose values repeat among a table's first rows; for the others a dictionary costs time and bytes.

    True, which is all columns, where some are nested: their leaves have names of their own.
    """
    if any(pa.types.is_nested(field.type) or pa.types.is_dictionary(field.type) for field in table.schema):
        return True
    sample = table.slice(0, _SAMPLE_ROWS)
    return [name for name in sample.column_names if 2 * pc.count_distinct(sample[name]).as_py() <= sample.num_rows]


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
