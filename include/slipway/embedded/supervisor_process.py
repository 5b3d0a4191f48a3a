"""The supervisor itself: ``supervisord`` that adopts orphans.

As a *child subreaper* (``prctl(2)``) it becomes the parent of every process its services leave behind, so that
stopping the stack finds all of them: task processes, the JVM's Python workers, PostgreSQL's backends.
"""

from __future__ import annotations

import ctypes
import os
import sys

from supervisor import supervisord

_PR_SET_CHILD_SUBREAPER = 36


def main() -> None:
    """Run ``supervisord`` with this process's arguments."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")
    os.umask(0o077)  # its logs and socket are its owner's alone
    supervisord.main(sys.argv[1:])


if __name__ == "__main__":
    main()
