"""A Python data source that does nothing but pass Arrow batches: what Spark charges every one for the passage.

Reading, it yields slices of one small table over and over, with no storage and no decoding; writing, it counts rows
and drops them. ``spark_io`` measures it beside the lake.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
from pyspark.sql.datasource import (
    DataSource,
    DataSourceArrowWriter,
    DataSourceReader,
    InputPartition,
    WriterCommitMessage,
)
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructType

from slipway.lake.datasource_read import BATCH_ROWS


class ArrowFloor(DataSource):
    """The ``arrow-floor`` format; options ``table`` (a file in Arrow's IPC format), ``rows`` and ``partitions``."""

    @classmethod
    def name(cls) -> str:
        return "arrow-floor"

    def reader(self, schema: StructType) -> DataSourceReader:
        return FloorReader(self.options["table"], int(self.options["rows"]), int(self.options["partitions"]), schema)

    def writer(self, schema: StructType, overwrite: bool) -> DataSourceArrowWriter:
        return FloorWriter()


@dataclass
class FloorReader(DataSourceReader):
    """``rows`` rows in ``partitions`` tasks, in batches of the lake's size."""

    table: str
    rows: int
    count: int
    schema: StructType

    def partitions(self) -> list[InputPartition]:
        return [InputPartition(number) for number in range(self.count)]

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        schema = to_arrow_schema(self.schema, timezone="UTC")
        with pa.ipc.open_file(self.table) as file:
            batch = file.read_all().cast(schema).combine_chunks().to_batches()[0]
        left = self.rows // self.count
        while left > 0:
            yield batch.slice(0, left)
            left -= min(left, batch.num_rows)


@dataclass(frozen=True)
class Counted(WriterCommitMessage):
    rows: int


class FloorWriter(DataSourceArrowWriter):
    """Takes every batch and keeps none."""

    def write(self, iterator: Iterator[pa.RecordBatch]) -> Counted:
        return Counted(sum(batch.num_rows for batch in iterator))

    def commit(self, messages: Sequence[WriterCommitMessage | None]) -> None:
        pass

    def abort(self, messages: Sequence[WriterCommitMessage | None]) -> None:
        pass


def keep(table: pa.Table, path: str) -> None:
    """Write the first rows of ``table``, one batch of them, for :class:`FloorReader`."""
    with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table.slice(0, BATCH_ROWS).combine_chunks())
