"""A disk's errors become answers that say what to do."""

from __future__ import annotations

import errno
import sqlite3

import pytest

from slipway.embedded.lakefs_server.storage_faults import fault


def database_error(name: str) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorname = name
    return error


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 507, "full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), 507, "full"),
        (OSError(errno.EROFS, "Read-only file system"), 503, "cannot write"),
        (PermissionError(errno.EACCES, "Permission denied"), 503, "cannot write"),
        (OSError(errno.EIO, "Input/output error"), 503, "disk failed"),
        (database_error("SQLITE_FULL"), 507, "full"),
        (database_error("SQLITE_READONLY"), 503, "cannot write"),
        (database_error("SQLITE_IOERR_WRITE"), 503, "disk failed"),
        (database_error("SQLITE_CORRUPT"), 500, "slipway lake fsck"),
    ],
)
def test_errors_of_the_disk_have_a_status_and_a_remedy(error: Exception, status: int, text: str) -> None:
    refusal = fault(error)
    assert refusal is not None
    assert refusal.status == status
    assert text in str(refusal)


@pytest.mark.parametrize("error", [ConnectionResetError(), FileNotFoundError(errno.ENOENT, "x"), sqlite3.Error("bug")])
def test_other_errors_stay_what_they_are(error: Exception) -> None:
    assert fault(error) is None
