"""How a dataset lies under a prefix: which objects are its data, and what their folders say about them.

Folders named ``key=value`` are partition columns, as in Hive: ``raw/flights/date=2013-01-01/part-00000.parquet`` has
``date`` = ``2013-01-01``. Values are strings, never guessed to be something else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from urllib.parse import unquote

from slipway.errors import DataError
from slipway.lake.records import ObjectInfo

SUFFIX = ".parquet"
_NULL = "__HIVE_DEFAULT_PARTITION__"


def data_files(objects: Iterable[ObjectInfo], prefix: str) -> list[ObjectInfo]:
    """The Parquet objects under ``prefix`` (ending in ``/``); names that begin with ``_`` or ``.`` are not data."""
    return [found for found in objects if _is_data(found.path.removeprefix(prefix))]


def partition_values(path: str, prefix: str) -> dict[str, str | None]:
    """Partition columns of one object, from its folders below ``prefix``, in order; Hive's null marker is ``None``."""
    folders = path.removeprefix(prefix).split("/")[:-1]
    pairs = (folder.partition("=") for folder in folders if "=" in folder)
    return {unquote(key): None if value == _NULL else unquote(value) for key, _, value in pairs}


def partition_columns(values: Mapping[str, Mapping[str, str | None]]) -> tuple[str, ...]:
    """The partition columns all objects share, given ``partition_values`` by path; none for no objects.

    Raises ``DataError`` when objects disagree on them.
    """
    columns: tuple[str, ...] | None = None
    first = ""
    for path, found in values.items():
        if columns is None:
            first, columns = path, tuple(found)
        elif tuple(found) != columns:
            raise DataError(
                f"expected the same partition folders for every object: {first} has {columns}, "
                f"{path} has {tuple(found)}; read one dataset at a time"
            )
    return columns or ()


def runs(sizes: Sequence[int], target: int) -> Iterator[tuple[int, int]]:
    """Consecutive items as (first, end) such that each run but the last just reaches ``target`` in sum."""
    first, held = 0, 0
    for number, size in enumerate(sizes, start=1):
        held += size
        if held >= target:
            yield first, number
            first, held = number, 0
    if first < len(sizes):
        yield first, len(sizes)


def part_name(number: int) -> str:
    """The name of the file that the ``number``-th Spark partition writes."""
    return f"part-{number:05d}{SUFFIX}"


def _is_data(relative: str) -> bool:
    return relative.endswith(SUFFIX) and not any(name.startswith(("_", ".")) for name in relative.split("/"))
