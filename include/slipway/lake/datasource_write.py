"""The writing half of the ``lakefs`` data source: tasks stage files, the driver alone makes them visible.

Every non-empty Spark partition becomes ``part-<partition>.parquet`` of deterministic bytes
(``slipway.lake.parquet_format``), so a job that makes the same rows again changes nothing. The driver's ``commit``
links the files and removes every other object under the prefix; ``abort`` leaves the branch as it was. A job without
rows writes one empty file that has the schema.

Nothing is committed to the branch here: that is publishing, and it is what replaces a partition in one step. Until
then readers of the branch are refused and readers of a commit see the partition as it was, so a driver that dies
between two links shows nobody a mixture, and the next run of the job puts it right.
"""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, cast

import pyarrow as pa
from pyspark import TaskContext  # noqa: TID253 - a leaf of Spark
from pyspark.sql.datasource import DataSourceArrowWriter, WriterCommitMessage  # noqa: TID253

from slipway.connections import LakeConnection
from slipway.errors import LakeError
from slipway.lake import parquet_format
from slipway.lake.client import Lake, lake_at
from slipway.lake.layout import part_name
from slipway.lake.staging import Staged, Staging, choose_staging
from slipway.lake.uri import LakeUri

SPOOL_BYTES = 32 * 1024 * 1024
"""A file being written is held in memory up to this size, on disk beyond."""


@dataclass(frozen=True)
class StagedPart(WriterCommitMessage):  # type: ignore[misc]  # pyspark ships no complete types
    """What one task tells the driver: its file, or ``None`` when it had no rows."""

    staged: Staged | None
    rows: int


class LakeWriter(DataSourceArrowWriter):  # type: ignore[misc]
    """Replaces what is under ``uri`` with the rows of one job."""

    def __init__(self, connection: LakeConnection | None, uri: LakeUri, schema: pa.Schema, staging: Staging) -> None:
        self._connection = connection
        self._uri = uri
        self._schema = schema
        self.staging = staging

    @classmethod
    def planned(
        cls, connection: LakeConnection | None, uri: LakeUri, schema: pa.Schema, mode: str | None
    ) -> LakeWriter:
        """The writer of one job; raises ``LakeError`` when ``uri`` names no branch. For ``mode`` see staging."""
        lake = lake_at(connection)
        if uri.ref not in lake.branches(uri.repository, uri.ref):
            raise LakeError(f"expected a branch to write to, {uri.ref} of {uri.repository} is none; create it first")
        # Whether Spark calls a column nullable depends on its plan, not on the rows: it must not reach the bytes.
        nullable = pa.schema([field.with_nullable(True) for field in schema])
        return cls(connection, uri, nullable, choose_staging(lake, uri, uuid.uuid4().hex, mode))

    def write(self, iterator: Iterator[pa.RecordBatch]) -> StagedPart:
        context = TaskContext.get()
        number = context.partitionId() if context is not None else 0
        with tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES) as spool:
            body = cast(BinaryIO, spool)
            rows = parquet_format.write(iterator, self._schema, body)
            staged = (
                self.staging.stage(lake_at(self._connection), self._uri / part_name(number), body) if rows else None
            )
        return StagedPart(staged, rows)

    def commit(self, messages: Sequence[WriterCommitMessage | None]) -> None:
        lake = lake_at(self._connection)
        parts = [message.staged for message in messages if isinstance(message, StagedPart) and message.staged]
        if not parts:
            parts = [self._stage_empty(lake)]
        self.staging.publish(lake, parts)
        kept = {staged.uri.path for staged in parts}
        replaced = [found.path for found in lake.list(self._uri) if found.path not in kept]
        lake.delete_many(self._uri.repository, self._uri.ref, replaced)
        self.staging.discard(lake)

    def abort(self, messages: Sequence[WriterCommitMessage | None]) -> None:  # noqa: ARG002 - Spark's signature
        self.staging.discard(lake_at(self._connection))

    def _stage_empty(self, lake: Lake) -> Staged:
        with tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES) as spool:
            body = cast(BinaryIO, spool)
            parquet_format.write([], self._schema, body)
            return self.staging.stage(lake, self._uri / part_name(0), body)
