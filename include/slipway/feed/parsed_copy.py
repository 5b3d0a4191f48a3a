"""A parsed file kept as an Arrow file, so that a task that needs one day of it need not parse the year.

A copy belongs to one state of its source (times, inode and size), one parser (its own source text) and one pyarrow;
with any other it is made again. It is mapped into memory: what is not asked for is not read. A copy that cannot be
written or read is done without, since parsing gives the same rows.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pyarrow as pa

from slipway.identity.canonical import canonical_json
from slipway.identity.digest import sha256_bytes

_LOG = logging.getLogger(__name__)
_DRAFT_SECONDS = 3600.0
"""Nobody writes a copy for so long."""


def parsed_copy(
    folder: Path,
    source: Path,
    *,
    state: tuple[int, ...],
    options: tuple[str, ...] | None,
    parser: Path,
    parse: Callable[[], pa.Table],
) -> pa.Table:
    """The table that ``parse`` makes of ``source``, from its copy in ``folder`` where there is one.

    ``state`` is ``file_state``'s, taken before ``parse`` reads; ``options`` are what else decides the table;
    ``parser`` is the module that ``parse`` is of.
    """
    versions = [*map(str, state), sha256_bytes(parser.read_bytes()), pa.__version__]
    name = f"{source.name}-{_short([str(source), options])}"
    copy = folder / f"{name}-{_short(versions)}.arrow"
    try:
        return _read(copy)
    except FileNotFoundError:
        pass
    except (OSError, pa.ArrowInvalid) as error:
        _LOG.warning("%s: expected the parsed copy of %s, came: %s; it is made again", copy, source, error)
    table = parse()
    try:
        _write(copy, table)
        for old in folder.glob(f"{name}-*.arrow"):
            if old != copy:
                old.unlink(missing_ok=True)
        _clear_drafts(folder)
    except OSError as error:
        _LOG.warning("%s: no parsed copy of %s could be kept (%s); the next task parses it again", copy, source, error)
    return table


def file_state(path: Path) -> tuple[int, ...]:
    """Changes when a file is written or replaced, also by one of the same size and modification time."""
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, stat.st_size


def _read(copy: Path) -> pa.Table:
    with pa.memory_map(str(copy)) as mapped:
        return pa.ipc.open_file(mapped).read_all()


def _write(copy: Path, table: pa.Table) -> None:
    copy.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=copy.parent, prefix=".", suffix=".draft", delete=False) as draft:
        try:
            with pa.ipc.new_file(draft, table.schema) as writer:
                writer.write_table(table)
            draft.flush()
            Path(draft.name).replace(copy)
        except BaseException:
            Path(draft.name).unlink(missing_ok=True)
            raise


def _clear_drafts(folder: Path) -> None:
    """Delete what killed tasks left half-written."""
    for draft in folder.glob(".*.draft"):
        with suppress(FileNotFoundError):  # another task may have completed it
            if time.time() - draft.stat().st_mtime > _DRAFT_SECONDS:
                draft.unlink()


def _short(value: list[object]) -> str:
    return sha256_bytes(canonical_json(value))[:12]
