"""What a source of raw rows can do."""

from __future__ import annotations

import datetime as dt
from typing import Protocol

import pyarrow as pa


class Source(Protocol):
    """One raw table somewhere outside the lake."""

    @property
    def place(self) -> str:
        """Where the rows come from, for messages."""

    def rows(self, day: dt.date) -> pa.Table:
        """The rows of one day, in a fixed order and with the same column types whatever the day; none is allowed.

        Raises:
            ConfigurationError: the source does not exist or lacks the columns its description names.
            UnreadableDataError: the source exists but cannot be parsed.
        """
