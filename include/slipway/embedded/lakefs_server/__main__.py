"""``python -m slipway.embedded.lakefs_server --data DIR --credentials FILE [--host H] [--port P]``."""

from __future__ import annotations

import argparse
import fcntl
import os
from pathlib import Path

import uvicorn

from slipway.embedded.lakefs_server.app import create_app
from slipway.embedded.lakefs_server.bounded_http import BoundedHttp
from slipway.embedded.lakefs_server.signing import Credentials
from slipway.errors import ConfigurationError


def _lock(data: Path) -> int:
    """Hold ``data`` for this process until it ends, however it ends."""
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ConfigurationError(f"another server uses {data}; stop it or give another --data") from error
    return descriptor


def main() -> None:
    """Run the server until it is told to stop."""
    parser = argparse.ArgumentParser(prog="slipway.embedded.lakefs_server", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the repositories")
    parser.add_argument(
        "--credentials",
        type=Path,
        required=True,
        help="JSON file (mode 0600) with lakefs_access_key and lakefs_secret_key, an admin, and perhaps more users",
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=18000)
    parser.add_argument(
        "--hook-host", action="append", default=[], help="a host webhooks may go to besides this machine; repeatable"
    )
    arguments = parser.parse_args()
    try:
        credentials = Credentials.read(arguments.credentials)
        _lock(arguments.data)
        app = create_app(arguments.data, credentials, frozenset(arguments.hook_host))
    except ConfigurationError as error:
        parser.exit(2, f"{error}\n")
    # no access log: the query strings of signed URLs are secrets while they last
    where = {"host": arguments.host, "port": arguments.port}
    uvicorn.run(app, **where, http=BoundedHttp, access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
