"""The features a training reads: whole day-partitions at one commit, and a hold-out of later days."""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Iterable, Sequence
from typing import Protocol

import pandas as pd

from slipway.errors import DataError, EmptyPartitionError
from slipway.lake.layout import data_files
from slipway.lake.parquet_format import batches, opened
from slipway.lake.records import ObjectInfo
from slipway.lake.uri import LakeUri

_BATCH_ROWS = 65536


class FeatureStore(Protocol):
    """The part of a lake that reading needs."""

    def list(self, uri: LakeUri) -> Sequence[ObjectInfo]: ...

    def get(self, uri: LakeUri) -> bytes: ...


def check_partitions(training: Sequence[str], holdout: Sequence[str]) -> None:
    """Refuse a split that would judge a model on days it has seen, or on days before those.

    Raises:
        DataError: a list is empty, repeats a day, holds something that is no ``YYYY-MM-DD``, or a held-out day is not
            later than every training day.
    """
    for name, partitions in (("training", training), ("held-out", holdout)):
        if not partitions:
            raise DataError(f"expected at least one {name} partition, got none")
        if len(set(partitions)) != len(partitions):
            raise DataError(f"expected every {name} partition once, got {', '.join(partitions)}")
        for partition in partitions:
            _check_day(partition)
    last, first = max(training), min(holdout)
    if first <= last:
        raise DataError(
            f"expected every held-out partition to be later than every training partition, but {first} is held out and "
            f"{last} is trained on: hold out the latest days"
        )


def read_partitions(
    lake: FeatureStore, repository: str, commit: str, partitions: Iterable[str], columns: Sequence[str]
) -> pd.DataFrame:
    """The rows of day-partitions in the order of their days; within a day as they were written.

    Args:
        lake: where the features are.
        repository: the pipeline's lakeFS repository.
        commit: id of the commit to read, so that a publish meanwhile changes nothing.
        partitions: days, ``YYYY-MM-DD``.
        columns: those to read.

    Raises:
        EmptyPartitionError: a partition has no features at that commit.
        DataError: a partition lacks a column.
        UnreadableDataError: an object is no whole Parquet file.
    """
    frames = [_read(lake, LakeUri(repository, commit, f"features/date={day}"), columns) for day in sorted(partitions)]
    return pd.concat(frames, ignore_index=True)


def _read(lake: FeatureStore, folder: LakeUri, columns: Sequence[str]) -> pd.DataFrame:
    files = data_files(lake.list(folder), folder.folder)
    frames = [_read_file(lake, LakeUri(folder.repository, folder.ref, file.path), columns) for file in files]
    frame = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    if frame.empty:
        raise EmptyPartitionError(
            f"expected features in {folder}, got none: run the ingest DAG for that partition, then train on its commit"
        )
    return frame


def _read_file(lake: FeatureStore, uri: LakeUri, columns: Sequence[str]) -> pd.DataFrame:
    file = opened(io.BytesIO(lake.get(uri)), str(uri))
    missing = sorted(set(columns) - set(file.schema_arrow.names))
    if missing:
        raise DataError(
            f"{uri}: expected columns {', '.join(missing)}, got {', '.join(file.schema_arrow.names)}: the model module,"
            " the slices and the baseline may only name columns of the features contract"
        )
    parts = [batch.to_pandas() for batch in batches(file, list(columns), _BATCH_ROWS, str(uri))]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(columns))


def _check_day(partition: str) -> None:
    try:
        if dt.date.fromisoformat(partition).isoformat() == partition:
            return
    except ValueError:
        pass
    raise DataError(f"expected partitions as YYYY-MM-DD, got {partition!r}")
