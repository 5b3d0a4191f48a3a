"""The reading half of the ``lakefs`` data source: what each task fetches, decodes and hands to Spark.

A small file comes in one request. Of a larger one its footer is read, then the wanted columns of one row group after
the other, neighbours together, so a task holds one row group and columns nobody asked for stay where they are.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql.datasource import DataSourceReader, Filter, InputPartition  # noqa: TID253 - a leaf of Spark
from pyspark.sql.pandas.types import to_arrow_schema  # noqa: TID253
from pyspark.sql.types import StructType  # noqa: TID253

from slipway.errors import DataError
from slipway.lake import parquet_format
from slipway.lake.client import Lake, lake_at
from slipway.lake.partition_filters import may_match
from slipway.lake.read_plan import DataFile, ReadPlan, Slice
from slipway.lake.uri import LakeUri

BATCH_ROWS = 65_536
WHOLE_BYTES = 4 * 1024 * 1024
"""Files up to this size are fetched whole: a second request would cost more than the columns it spares."""


class SlicePartition(InputPartition):  # type: ignore[misc]  # pyspark ships no complete types
    """The one slice a task reads."""

    def __init__(self, piece: Slice) -> None:
        super().__init__(piece)


class FilterPushdown:
    """``pushFilters`` of a reader that is right without it.

    Spark refuses a reader that overrides ``pushFilters`` in every session that leaves
    ``spark.sql.python.filterPushdown.enabled`` off, which is the default, so that no filter is ignored unnoticed. Here
    none can be: all are handed back and Spark applies them again. It looks at ``__func__`` to see whether the method
    is overridden (pyspark 4.3, ``plan_data_source_read``).
    """

    __func__ = staticmethod(DataSourceReader.pushFilters)

    def __init__(self, accept: Callable[[Sequence[Filter]], None]) -> None:
        self._accept = accept

    def __call__(self, filters: Sequence[Filter]) -> Iterable[Filter]:
        self._accept(filters)
        return filters


class LakeReader(DataSourceReader):  # type: ignore[misc]
    """Reads the columns of ``schema`` from the files of a plan whose partition values can match the query."""

    def __init__(self, plan: ReadPlan, schema: StructType, split_bytes: int) -> None:
        self._plan = plan
        self._schema = to_arrow_schema(schema, timezone="UTC")
        self._split_bytes = split_bytes
        self._filters: tuple[Filter, ...] = ()

    @property
    def pushFilters(self) -> FilterPushdown:  # noqa: N802 - Spark's name
        return FilterPushdown(self._remember)

    def _remember(self, filters: Sequence[Filter]) -> None:
        self._filters = tuple(filters)

    def partitions(self) -> list[InputPartition]:
        types = {name: self._schema.field(name).type for name in self._plan.columns if name in self._schema.names}
        files = [file for file in self._plan.files if may_match(self._filters, file.values, types)]
        return [SlicePartition(piece) for piece in self._plan.slices(files, self._split_bytes)]

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        piece: Slice | None = partition.value
        if piece is None:
            return  # What Spark makes of a list without partitions.
        file, name = piece.file, self._plan.name_of(piece.file)
        wanted = [column for column in self._schema.names if column not in self._plan.columns]
        parquet = self._opened(file, name)
        missing = [column for column in wanted if column not in parquet.schema_arrow.names]
        if missing:
            raise DataError(
                f"expected columns {wanted} in {name}, {missing} are missing; give .schema() the columns all files have"
            )
        groups = range(piece.first, parquet.num_row_groups if piece.end is None else piece.end)
        for batch in parquet_format.batches(parquet, wanted, BATCH_ROWS, name, groups):
            yield self._shaped(batch, file, name)

    def _opened(self, file: DataFile, name: str) -> pq.ParquetFile:
        lake, uri = lake_at(self._plan.connection), LakeUri.parse(name)
        if file.size <= WHOLE_BYTES:
            body = lake.get_range(uri, 0, file.size) if file.size else b""
            return parquet_format.opened(pa.BufferReader(body), name)
        return parquet_format.opened(ObjectFile(lake, uri, file.size), name)

    def _shaped(self, batch: pa.RecordBatch, file: DataFile, name: str) -> pa.RecordBatch:
        """The batch with the query's columns, order and types, its partition values filled in."""
        arrays = []
        for field in self._schema:
            if field.name in file.values:
                arrays.append(
                    pa.repeat(pa.scalar(file.values[field.name], pa.string()), batch.num_rows).cast(field.type)
                )
                continue
            try:
                arrays.append(batch.column(field.name).cast(field.type))
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                came = batch.schema.field(field.name).type
                raise DataError(
                    f"expected column {field.name} of {name} as {field.type}, came {came}: {error}"
                ) from error
        return pa.RecordBatch.from_arrays(arrays, schema=self._schema)


class ObjectFile(io.RawIOBase):
    """An object of ``size`` bytes as a file; every read is one ranged request."""

    def __init__(self, lake: Lake, uri: LakeUri, size: int) -> None:
        super().__init__()
        self._lake, self._uri, self._size, self._at = lake, uri, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        end = self._size if size is None or size < 0 else min(self._at + size, self._size)
        if end <= self._at:
            return b""
        found = self._lake.get_range(self._uri, self._at, end)
        self._at += len(found)
        return found
