"""What a client hears when the server's disk is full, cannot be written, or fails."""

from __future__ import annotations

import errno
import logging
import sqlite3

from starlette.requests import Request
from starlette.responses import Response

from slipway.embedded.lakefs_server.refusal import RefusalError
from slipway.embedded.lakefs_server.wire import refuse

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_UNWRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)
_log = logging.getLogger(__name__)


def fault(error: Exception) -> RefusalError | None:
    """The answer to a disk's error; None if it is another one. Nothing of the request was kept."""
    if isinstance(error, OSError):
        return _of_number(error.errno, error.strerror or str(error))
    if isinstance(error, sqlite3.Error):
        return _of_database(getattr(error, "sqlite_errorname", ""), str(error))
    return None


def _of_number(number: int | None, text: str) -> RefusalError | None:
    if number in _FULL:
        return _full(text)
    if number in _UNWRITABLE:
        return _unwritable(text)
    return _failing(text) if number == errno.EIO else None


def _of_database(name: str, text: str) -> RefusalError | None:
    if name == "SQLITE_FULL":
        return _full(text)
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN")):
        return _unwritable(text)
    if name.startswith("SQLITE_IOERR"):  # SQLite tells a quota or a file size limit no further apart
        return _failing(text)
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return RefusalError(500, f"the repository's database is damaged ({text}); stop it, run `slipway lake fsck`")
    return None


def _full(text: str) -> RefusalError:
    return RefusalError(507, f"the server's disk is full ({text}); nothing was kept, free some space and try again")


def _unwritable(text: str) -> RefusalError:
    return RefusalError(503, f"the server cannot write to its disk ({text}); nothing was kept, make it writable")


def _failing(text: str) -> RefusalError:
    return RefusalError(503, f"the server's disk failed or has a limit ({text}); nothing was kept, see to the disk")


def answer_fault(request: Request, error: Exception) -> Response:
    """Answer a disk's error and log it; anything else goes on to be a 500."""
    refusal = fault(error)
    if refusal is None:
        raise error
    _log.error("%s %s: %s", request.method, request.url.path, refusal)
    return refuse(request, refusal)
