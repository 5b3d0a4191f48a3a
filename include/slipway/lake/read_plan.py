"""What a query of the ``lakefs`` data source reads: the files of one commit, cut into tasks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from slipway.connections import LakeConnection
from slipway.errors import ConfigurationError, LakeError, LakeNotFoundError
from slipway.lake import layout, parquet_format
from slipway.lake.client import Lake, lake_at
from slipway.lake.uri import LakeUri

_BRANCH = re.compile(r"\w[-\w]*", re.ASCII)


@dataclass(frozen=True)
class DataFile:
    """One Parquet object at a pinned commit; ``size`` in bytes, ``values`` are its partition columns."""

    path: str
    size: int
    values: Mapping[str, str | None]


@dataclass(frozen=True)
class Slice:
    """What one task reads: a file, or its row groups ``first`` up to but not including ``end``."""

    file: DataFile
    first: int = 0
    end: int | None = None


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

    def slices(self, files: Iterable[DataFile], split_bytes: int) -> Iterator[Slice]:
        """One slice a file; of files larger than ``split_bytes`` one for as many row groups as reach that size."""
        for file in files:
            if file.size <= split_bytes:
                yield Slice(file)
                continue
            sizes = parquet_format.row_group_bytes(self.tail(file), self.name_of(file))
            yield from (Slice(file, first, end) for first, end in layout.runs(sizes, split_bytes))


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
