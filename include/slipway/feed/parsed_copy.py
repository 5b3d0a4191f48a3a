"""A parsed file kept as an Arrow file, so that a task that needs one day of it need not parse the year.

A copy belongs to one state of its source (time and size), one parser (its own source text) and one pyarrow; with any
other it is made again. It is mapped into memory: what is not asked for is not read. A copy that cannot be written or
read is done without, since parsing gives the same rows.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from slipway.identity.canonical import canonical_json
from slipway.identity.digest import sha256_bytes

_LOG = logging.getLogger(__name__)


def parsed_copy(
    folder: Path, source: Path, options: tuple[str, ...] | None, parser: Path, parse: Callable[[], pa.Table]
) -> pa.Table:
    """The table that ``parse`` makes of ``source``, from its copy in ``folder`` where there is one.

    ``options`` are what else decides the table; ``parser`` is the module that ``parse`` is of.
    """
    stat = source.stat()
    state = [str(stat.st_mtime_ns), stat.st_size, sha256_bytes(parser.read_bytes()), pa.__version__]
    name = f"{source.name}-{_short([str(source), options])}"
    copy = folder / f"{name}-{_short(state)}.arrow"
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
    except OSError as error:
        _LOG.warning("%s: no parsed copy of %s could be kept (%s); the next task parses it again", copy, source, error)
    return table


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


def _short(value: list[object]) -> str:
    return sha256_bytes(canonical_json(value))[:12]
