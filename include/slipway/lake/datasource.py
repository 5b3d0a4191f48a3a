"""Spark reads and writes the lake: ``spark.read.format("lakefs")`` and ``df.write.format("lakefs")``.

Register once per session with ``spark.dataSource.register(LakeFSDataSource)``; it works in classic sessions and
through Spark Connect, and needs this package importable where Spark's Python workers run.

Reading, ``load("lakefs://repo/ref/prefix")`` (or several such paths):

* The reference is pinned to a commit when the query is planned; every task reads that commit. Changes that a branch
  holds uncommitted under the prefix are an error, not silently left out.
* The schema is the first file's, then the partition columns (``date=2013-01-01/`` -> string column ``date``) of
  folders below the prefix, or below ``option("basePath", …)``. With ``.schema(…)`` only those columns are read.
* One task per file. Spark 4.3 offers a Python source no column pruning, and its filter pushdown costs every session
  that leaves it off an error; name the partitions' paths instead.

Writing, ``.mode("overwrite").save("lakefs://repo/branch/prefix")``, is in ``slipway.lake.datasource_write``.

Options: ``endpoint``, ``access_key``, ``secret_key`` (else lakeFS's own environment), ``access_mode``, ``basePath``.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa
from pyspark.sql.datasource import DataSource, DataSourceReader, InputPartition  # noqa: TID253 - a leaf of Spark
from pyspark.sql.pandas.types import from_arrow_schema, to_arrow_schema  # noqa: TID253
from pyspark.sql.types import StringType, StructField, StructType  # noqa: TID253

from slipway.connections import LakeConnection
from slipway.errors import ConfigurationError, DataError, LakeError, LakeNotFoundError
from slipway.lake import layout, parquet_format
from slipway.lake.client import Lake, lake_at
from slipway.lake.datasource_write import LakeWriter
from slipway.lake.uri import LakeUri

_BRANCH = re.compile(r"\w[-\w]*", re.ASCII)
BATCH_ROWS = 65_536
CHUNK_BYTES = 32 * 1024 * 1024
"""An object is fetched in requests of this size, and held in memory up to it, on disk beyond."""


class LakeFSDataSource(DataSource):  # type: ignore[misc]  # pyspark ships no complete types
    """The ``lakefs`` format."""

    @classmethod
    def name(cls) -> str:
        return "lakefs"

    def schema(self) -> StructType:
        plan = self._plan()
        tail = plan.tail(plan.files[0])
        found = from_arrow_schema(parquet_format.schema_of(tail, plan.name_of(plan.files[0])))
        fields = [field for field in found.fields if field.name not in plan.columns]
        return StructType(fields + [StructField(name, StringType()) for name in plan.columns])

    def reader(self, schema: StructType) -> DataSourceReader:
        return LakeReader(self._plan(), schema)

    def writer(self, schema: StructType, overwrite: bool) -> LakeWriter:
        if not overwrite:
            raise ConfigurationError(
                'expected .mode("overwrite"), came append: a repeated append would double its rows'
            )
        (uri,) = self._paths()
        if not uri.folder:
            raise ConfigurationError(f"expected a prefix to overwrite, came {uri}; write to a dataset's own folder")
        arrow = to_arrow_schema(schema, timezone="UTC")
        return LakeWriter.planned(self._connection(), uri, arrow, self.options.get("access_mode"))

    def _plan(self) -> ReadPlan:
        # Spark carries this object from the schema to the reader: both must see the same commit.
        plan: ReadPlan | None = getattr(self, "_planned", None)
        if plan is None:
            base = self.options.get("basePath")
            plan = plan_read(self._connection(), self._paths(), LakeUri.parse(base) if base else None)
            self._planned = plan
        return plan

    def _paths(self) -> list[LakeUri]:
        path, paths = self.options.get("path"), self.options.get("paths")
        if not (path or paths):
            raise ConfigurationError("expected a path lakefs://<repository>/<ref>/<prefix>, came none")
        return [LakeUri.parse(text) for text in ([path] if path else json.loads(paths))]

    def _connection(self) -> LakeConnection | None:
        given = [self.options.get(name) for name in ("endpoint", "access_key", "secret_key")]
        if all(given):
            return LakeConnection(*given)
        if any(given):
            raise ConfigurationError("expected all of the options endpoint, access_key and secret_key, or none of them")
        return None  # Each worker reads its own environment: no secret travels in a Connect plan.


@dataclass(frozen=True)
class DataFile:
    """One Parquet object at a pinned commit; ``size`` in bytes, ``values`` are its partition columns."""

    path: str
    size: int
    values: Mapping[str, str | None]


@dataclass(frozen=True)
class ReadPlan:
    """What a query reads: files of one commit, and the partition columns their folders add."""

    connection: LakeConnection | None
    root: LakeUri
    files: tuple[DataFile, ...]
    columns: tuple[str, ...]

    def name_of(self, file: DataFile) -> str:
        return str(LakeUri(self.root.repository, self.root.ref, file.path))

    def tail(self, file: DataFile) -> bytes:
        """The end of a file, with its whole footer."""
        lake, uri = lake_at(self.connection), LakeUri(self.root.repository, self.root.ref, file.path)
        if not file.size:
            parquet_format.footer_bytes(b"", str(uri))
        guess = min(file.size, parquet_format.FOOTER_GUESS)
        tail = lake.get_range(uri, file.size - guess, file.size)
        needed = min(parquet_format.footer_bytes(tail, str(uri)), file.size)
        return tail if needed <= guess else lake.get_range(uri, file.size - needed, file.size)


def plan_read(connection: LakeConnection | None, uris: list[LakeUri], base: LakeUri | None) -> ReadPlan:
    """Pin the reference and find the files.

    Raises ``LakeNotFoundError`` when the repository, the reference or data under a prefix is missing, ``LakeError``
    when the branch has uncommitted changes there, and ``DataError`` when files disagree on their partition columns.
    """
    lake, first = lake_at(connection), uris[0]
    if any((uri.repository, uri.ref) != (first.repository, first.ref) for uri in [*uris, *([base] if base else [])]):
        raise ConfigurationError(f"expected paths of one repository and reference, came {', '.join(map(str, uris))}")
    commit = lake.resolve(first.repository, first.ref)
    files = []
    for uri in uris:
        if commit != uri.ref:
            _refuse_uncommitted(lake, uri)
        prefix = (base or uri).folder
        found = layout.data_files(lake.list(uri.at(commit)), uri.folder)
        if not found:
            raise LakeNotFoundError(
                f"expected Parquet objects under {uri} (commit {commit[:12]}), found none; "
                "check the prefix, and that the partition was ingested"
            )
        files += [DataFile(item.path, item.size, layout.partition_values(item.path, prefix)) for item in found]
    columns = layout.partition_columns({file.path: file.values for file in files})
    return ReadPlan(connection, first.at(commit), tuple(files), columns)


def _refuse_uncommitted(lake: Lake, uri: LakeUri) -> None:
    if not _BRANCH.fullmatch(uri.ref):
        return  # An expression such as main~1 names a commit.
    try:
        changed = lake.uncommitted(uri.repository, uri.ref, uri.folder, limit=3)
    except LakeNotFoundError:
        return  # A tag: nothing can be uncommitted on it.
    if changed:
        raise LakeError(
            f"expected everything under {uri} to be committed, {', '.join(changed)} is not; "
            f"commit {uri.ref} before reading it, so that every task reads the same state"
        )


class FilePartition(InputPartition):  # type: ignore[misc]
    """The one file a task reads."""

    def __init__(self, file: DataFile | None) -> None:
        super().__init__(file)


class LakeReader(DataSourceReader):  # type: ignore[misc]
    """Reads the columns of ``schema`` from every file of a plan, in Arrow batches."""

    def __init__(self, plan: ReadPlan, schema: StructType) -> None:
        self._plan = plan
        self._schema = to_arrow_schema(schema, timezone="UTC")

    def partitions(self) -> list[InputPartition]:
        return [FilePartition(file) for file in self._plan.files]

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        file: DataFile = partition.value
        name = self._plan.name_of(file)
        wanted = [column for column in self._schema.names if column not in self._plan.columns]
        with tempfile.SpooledTemporaryFile(max_size=CHUNK_BYTES) as body:
            self._fetch(file, body)
            parquet = parquet_format.opened(body, name)
            missing = [column for column in wanted if column not in parquet.schema_arrow.names]
            if missing:
                raise DataError(
                    f"expected columns {wanted} in {name}, {missing} are missing; "
                    "give .schema() the columns all files have"
                )
            for batch in parquet_format.batches(parquet, wanted, BATCH_ROWS, name):
                yield self._shaped(batch, file, name)

    def _fetch(self, file: DataFile, body: tempfile.SpooledTemporaryFile[bytes]) -> None:
        lake, uri = lake_at(self._plan.connection), self._plan.root
        for start in range(0, file.size, CHUNK_BYTES):
            end = min(start + CHUNK_BYTES, file.size)
            body.write(lake.get_range(LakeUri(uri.repository, uri.ref, file.path), start, end))
        body.seek(0)

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
