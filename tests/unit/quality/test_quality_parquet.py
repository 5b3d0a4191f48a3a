import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from slipway.errors import UnreadableDataError
from slipway.feed.parquet import to_parquet
from slipway.quality.parquet import read_parquet

TABLE = pa.table({"a": list(range(1000)), "b": [f"value {index}" for index in range(1000)]})
WHERE = "lakefs://flights/main/raw/flights/part-00000.parquet"


def test_a_complete_file_is_read() -> None:
    assert read_parquet(to_parquet(TABLE), WHERE).equals(TABLE)


@pytest.mark.parametrize("kept", [0, 4, 0.3, 0.9, -1])
def test_a_truncated_file_is_unreadable_and_named(kept: float) -> None:
    data = to_parquet(TABLE)
    cut = data[: int(kept * len(data))] if isinstance(kept, float) else data[:kept]

    with pytest.raises(UnreadableDataError, match=f"{WHERE}.*truncated or damaged"):
        read_parquet(cut, WHERE)


def test_other_bytes_are_unreadable() -> None:
    with pytest.raises(UnreadableDataError, match=WHERE):
        read_parquet(b"year,month,day\n2013,1,1\n", WHERE)


def test_one_changed_byte_in_a_page_is_noticed() -> None:
    sink = io.BytesIO()
    plain = pa.table({"a": pa.array(range(1000), pa.int64())})
    pq.write_table(plain, sink, compression="none", use_dictionary=False, write_page_checksum=True)
    data = bytearray(sink.getvalue())
    data[data.index((500).to_bytes(8, "little"))] ^= 1

    with pytest.raises(UnreadableDataError, match=WHERE):
        read_parquet(bytes(data), WHERE)
