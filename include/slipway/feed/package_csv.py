"""A CSV file (plain, ``.gz`` or ``.zip``) inside an installed Python package.

The package is located, never imported: some packages read all their data, or start frameworks, on import.
Parsed files are kept, because a backfill asks for many days of the same file: in the process, and as parsed copies
where there is a folder for them.
"""

from __future__ import annotations

import datetime as dt
import gzip
import importlib.util
import zipfile
import zlib
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv

from slipway.errors import ConfigurationError, UnreadableDataError
from slipway.feed.parsed_copy import file_state, parsed_copy
from slipway.feed.partitioning import ROW_COLUMN, rows_of_batch, rows_of_date
from slipway.pipeline.spec import TableSource

_SAMPLE = 256 << 10  # bytes; column types are guessed from these, and from the whole file if that guess fails
_BLOCK = 4 << 20  # bytes; small enough to parse one file on several cores
_NULLS = ["", "NA", "NaN", "nan", "null", "NULL"]


@dataclass(frozen=True)
class PackageCsv:
    """The ``Source`` a ``TableSource`` describes."""

    table: TableSource
    copies: Path | None = None
    """Folder for parsed copies of the files; ``None``: each process parses for itself."""

    @property
    def place(self) -> str:
        return f"{self.table.file} of package {self.table.package}"

    def rows(self, day: dt.date) -> pa.Table:
        path = locate(self.table.package, self.table.file)
        table = self._parsed(path)
        if self.table.date_columns is not None:
            self._require(table, self.table.date_columns)
            return rows_of_date(table, self.table.date_columns, day)
        if self.table.rows_per_day is None:
            raise ConfigurationError(f"{self.place}: give date_columns or rows_per_day")
        if ROW_COLUMN in table.column_names:
            raise ConfigurationError(
                f"{self.place}: rows_per_day adds a column {ROW_COLUMN!r}, which the file already has; rename that one"
            )
        return rows_of_batch(table, self.table.rows_per_day, day)

    def _parsed(self, path: Path) -> pa.Table:
        state = file_state(path)
        parse = partial(_parse_file, path, self.table.columns, state)
        if self.copies is None:
            return parse()
        return parsed_copy(
            self.copies, path, state=state, options=self.table.columns, parser=Path(__file__), parse=parse
        )

    def _require(self, table: pa.Table, columns: tuple[str, ...]) -> None:
        for name in columns:
            if name not in table.column_names or not pa.types.is_integer(table.schema.field(name).type):
                raise ConfigurationError(
                    f"{self.place}: date_columns names {name!r}, expected an integer column of the file "
                    f"(it has: {', '.join(table.column_names)})"
                )


def locate(package: str, file: str) -> Path:
    """The path of ``file`` in an installed top-level package, without importing it.

    Raises:
        ConfigurationError: no such package, no such file, or the path leaves the package.
    """
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise ConfigurationError(
            f"feed: expected an installed package {package!r} holding {file!r}, but there is none; "
            f"install it (pip install {package}) or correct the pipeline's feed"
        )
    roots = [Path(place).resolve() for place in spec.submodule_search_locations]
    for root in roots:
        path = (root / file).resolve()
        if path.is_relative_to(root) and path.is_file():
            return path
    raise ConfigurationError(
        f"feed: package {package!r} is installed at {roots[0]} but has no file {file!r}; "
        "check the file's name in the pipeline's feed and the package's version"
    )


@lru_cache(maxsize=4)
def _parse_file(path: Path, columns: tuple[str, ...] | None, _state: tuple[int, ...]) -> pa.Table:
    """The whole file as a table; ``_state`` (``file_state``) makes a changed file a new entry of the cache."""
    buffer = pa.py_buffer(_content(path))
    for sample in (_SAMPLE, max(buffer.size, 1)):
        try:
            types = _column_types(buffer, columns, sample)
            return _as_pandas_would(_read(buffer, columns, _BLOCK, types))
        except pa.ArrowInvalid as error:
            # The rest may not fit the types of the beginning (3, then 3.5): then look at all of it.
            problem = error
    raise UnreadableDataError(
        f"{path}: expected a CSV file with the same columns in every line: {problem}; reinstall the package"
    ) from problem


def _content(path: Path) -> bytes:
    try:
        if path.suffix == ".gz":
            return gzip.decompress(path.read_bytes())
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                members = [member for member in archive.namelist() if not member.endswith("/")]
                if len(members) != 1:
                    raise ConfigurationError(f"{path}: expected exactly one file in the archive, got {members}")
                return archive.read(members[0])
        return path.read_bytes()
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise UnreadableDataError(
            f"{path}: expected a readable {path.suffix} file: {error}; reinstall the package"
        ) from error


def _column_types(buffer: pa.Buffer, columns: tuple[str, ...] | None, sample: int) -> dict[str, pa.DataType]:
    """The types of the first ``sample`` bytes; dates and times stay the text that stands in the file."""
    head = buffer
    if sample < buffer.size:
        text = buffer.slice(0, sample).to_pybytes()
        head = pa.py_buffer(text[: text.rfind(b"\n") + 1] or text)
    schema = _read(head, columns, max(head.size, 1), None).schema
    return {field.name: pa.string() if pa.types.is_temporal(field.type) else field.type for field in schema}


def _read(
    buffer: pa.Buffer, columns: tuple[str, ...] | None, block: int, types: dict[str, pa.DataType] | None
) -> pa.Table:
    return pa_csv.read_csv(
        pa.BufferReader(buffer),
        read_options=pa_csv.ReadOptions(column_names=None if columns is None else list(columns), block_size=block),
        convert_options=pa_csv.ConvertOptions(column_types=types, null_values=_NULLS, strings_can_be_null=True),
    )


def _as_pandas_would(table: pa.Table) -> pa.Table:
    """Whole numbers with gaps, and columns without any value, become float64: the types pandas reads."""
    for index, field in enumerate(table.schema):
        column = table.column(index)
        if pa.types.is_null(field.type) or (pa.types.is_integer(field.type) and column.null_count):
            table = table.set_column(index, pa.field(field.name, pa.float64()), column.cast(pa.float64()))
    return table
