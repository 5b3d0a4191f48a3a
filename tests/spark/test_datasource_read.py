"""How a task reads a large object: which bytes it asks for, and what becomes of an error on the way."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from slipway.errors import UnavailableError, UnreadableDataError
from slipway.lake import parquet_format
from slipway.lake.datasource_read import ObjectFile
from slipway.lake.uri import LakeUri

URI = LakeUri("flights", "main", "t/part-00000.parquet")
ROWS = parquet_format.ROW_GROUP_ROWS + 10


class StoredObject:
    """One object of a lake in memory, that notes what is asked of it; it goes away after ``lasts`` requests."""

    def __init__(self, data: bytes, lasts: int = 1_000) -> None:
        self.data, self.lasts = data, lasts
        self.asked: list[int] = []

    def get_range(self, uri: LakeUri, start: int, end: int) -> bytes:
        assert uri == URI
        if len(self.asked) >= self.lasts:
            raise UnavailableError("the lake went away")
        self.asked.append(end - start)
        return self.data[start:end]


@pytest.fixture(scope="module")
def data() -> bytes:
    chance = np.random.default_rng(1)
    return parquet_format.to_bytes(pa.table({name: chance.random(ROWS) for name in ("a", "b", "c")}))


def rows_of(stored: StoredObject, columns: list[str], groups: list[int] | None = None) -> int:
    file = parquet_format.opened(ObjectFile(stored, URI, len(stored.data)), str(URI))  # type: ignore[arg-type]
    return sum(batch.num_rows for batch in parquet_format.batches(file, columns, 65_536, str(URI), groups))


def test_columns_and_row_groups_nobody_asked_for_are_not_fetched(data: bytes) -> None:
    everything, one_column, last_group = StoredObject(data), StoredObject(data), StoredObject(data)
    assert rows_of(everything, ["a", "b", "c"]) == ROWS
    assert rows_of(one_column, ["b"]) == ROWS
    assert rows_of(last_group, ["a", "b", "c"], [1]) == 10
    assert sum(one_column.asked) < 0.4 * sum(everything.asked)
    assert sum(last_group.asked) < 0.1 * len(data)


def test_neighbouring_columns_come_in_one_request(data: bytes) -> None:
    stored = StoredObject(data)
    rows_of(stored, ["a", "b", "c"])
    assert len(stored.asked) <= 4  # the footer, and one for each row group


@pytest.mark.parametrize("lasts", [0, 1])
def test_a_lake_that_goes_away_is_not_taken_for_a_damaged_file(data: bytes, lasts: int) -> None:
    with pytest.raises(UnavailableError, match="the lake went away"):
        rows_of(StoredObject(data, lasts), ["a"])


def test_a_damaged_page_is_unreadable_and_named(data: bytes) -> None:
    damaged = bytearray(data)
    damaged[len(data) // 2] ^= 0xFF
    with pytest.raises(UnreadableDataError, match="part-00000"):
        rows_of(StoredObject(bytes(damaged)), ["a", "b", "c"])
