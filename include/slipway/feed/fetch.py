"""The raw tables of one partition, from wherever the pipeline's feed says they are."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pyarrow as pa

from slipway.feed.package_csv import PackageCsv
from slipway.feed.partitioning import source_day
from slipway.feed.source import Source
from slipway.pipeline.spec import Feed, TableSource


def source_of(table: TableSource, copies: Path | None = None) -> Source:
    """The adapter for a table's description; a new kind of source is one module and one line here."""
    return PackageCsv(table, copies)


def fetch(feed: Feed, partition: dt.date, copies: Path | None = None) -> dict[str, pa.Table]:
    """The rows of ``partition`` by table name, exactly as the source holds them.

    With ``replay_year`` the rows keep the source's own dates. A table without rows for the day comes back empty, with
    its columns: whether that may be is for its contract to say. ``copies`` is a folder a source may keep parsed copies
    of its files in, from one process to the next.

    Raises:
        ConfigurationError: a package, file or column the feed names does not exist.
        UnreadableDataError: a file cannot be parsed.
    """
    day = source_day(partition, feed.replay_year)
    return {name: source_of(table, copies).rows(day).combine_chunks() for name, table in feed.tables.items()}
