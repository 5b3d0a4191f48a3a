import pyarrow as pa
import pyarrow.parquet as pq

from slipway.feed.parquet import to_parquet

TABLE = pa.table({"name": ["a", None, "c"], "value": [1.5, 2.5, None], "count": [1, 2, 3], "flag": [True, None, False]})


def test_equal_tables_give_equal_bytes_however_they_are_chunked_or_annotated() -> None:
    chunked = pa.concat_tables([TABLE.slice(0, 1), TABLE.slice(1)]).replace_schema_metadata({"pandas": "{}"})

    assert to_parquet(chunked) == to_parquet(TABLE)


def test_the_table_comes_back_as_it_was() -> None:
    assert pq.read_table(pa.BufferReader(to_parquet(TABLE))).equals(TABLE)


def test_a_table_without_rows_keeps_its_columns() -> None:
    empty = TABLE.slice(0, 0)

    assert pq.read_table(pa.BufferReader(to_parquet(empty))).schema == TABLE.schema
