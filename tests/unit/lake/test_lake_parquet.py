from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.errors import UnreadableDataError
from slipway.lake import parquet_format

SCHEMA = pa.schema([("key", pa.string()), ("delay", pa.float64()), ("late", pa.bool_())])


def table(rows: int) -> pa.Table:
    keys = [f"2013-01-01-UA-{row}" for row in range(rows)]
    return pa.table(
        [keys, [None if row % 7 == 0 else row / 3 for row in range(rows)], [row % 2 == 0 for row in range(rows)]],
        SCHEMA,
    )


def written(batches: list[pa.RecordBatch]) -> bytes:
    sink = io.BytesIO()
    parquet_format.write(batches, SCHEMA, sink)
    return sink.getvalue()


@settings(deadline=None, max_examples=40)  # the first example also loads pyarrow's compression
@given(st.lists(st.integers(0, 40), max_size=6))
def test_the_bytes_depend_on_the_rows_not_on_their_batches(sizes: list[int]) -> None:
    whole = table(sum(sizes))
    batches, start = [], 0
    for size in sizes:
        batches += whole.slice(start, size).to_batches()
        start += size
    assert written(batches) == written(whole.to_batches())


def test_row_groups_have_one_size_whatever_the_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_format, "ROW_GROUP_ROWS", 10)
    whole = table(25)
    once, torn = written(whole.to_batches()), written(whole.to_batches(max_chunksize=3))
    assert once == torn
    metadata = pq.read_metadata(io.BytesIO(once))
    assert [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)] == [10, 10, 5]
    assert pq.read_table(io.BytesIO(torn)).equals(whole)


def test_the_count_of_rows_is_returned_and_no_rows_leave_the_schema() -> None:
    sink = io.BytesIO()
    assert parquet_format.write([], SCHEMA, sink) == 0
    assert pq.read_schema(sink).equals(SCHEMA)
    assert parquet_format.write(table(3).to_batches(), SCHEMA, io.BytesIO()) == 3


def test_a_table_becomes_the_same_bytes_without_its_pandas_metadata() -> None:
    plain = table(5)
    assert parquet_format.to_bytes(plain.replace_schema_metadata({"pandas": "{}"})) == parquet_format.to_bytes(plain)


def test_the_schema_is_read_from_the_end_of_a_file() -> None:
    data = written(table(1000).to_batches())
    needed = parquet_format.footer_bytes(data[-8 - 4 :], "f")
    assert needed < len(data)
    assert parquet_format.schema_of(data[-needed:], "f").equals(SCHEMA)


@pytest.mark.parametrize("kept", [0, 3, 11, 200, -1])
def test_a_truncated_file_is_unreadable_and_named(kept: int) -> None:
    data = written(table(1000).to_batches())[:kept]
    with pytest.raises(UnreadableDataError, match=r"lakefs://r/c/f\.parquet"):
        parquet_format.footer_bytes(data, "lakefs://r/c/f.parquet")
    with pytest.raises(UnreadableDataError, match=r"lakefs://r/c/f\.parquet"):
        parquet_format.opened(io.BytesIO(data), "lakefs://r/c/f.parquet")


def test_a_damaged_page_is_unreadable(tmp_path: Path) -> None:
    data = bytearray(written(table(1000).to_batches()))
    data[len(data) // 3] ^= 0xFF
    file = parquet_format.opened(io.BytesIO(bytes(data)), "f.parquet")
    with pytest.raises(UnreadableDataError, match=r"f\.parquet"):
        list(parquet_format.batches(file, SCHEMA.names, 100, "f.parquet"))


def test_only_columns_whose_values_repeat_have_dictionaries() -> None:
    metadata = pq.read_metadata(io.BytesIO(written(table(1000).to_batches())))
    group = metadata.row_group(0)
    dictionaries = {group.column(at).path_in_schema: group.column(at).has_dictionary_page for at in range(3)}
    assert not dictionaries["key"]
    repeated = pa.table({"key": ["a", "b"] * 500, "tags": [["x"], ["y"]] * 500})
    group = pq.read_metadata(io.BytesIO(parquet_format.to_bytes(repeated))).row_group(0)
    assert [group.column(at).has_dictionary_page for at in range(2)] == [True, True]
