"""``python -m slipway.embedded.lakefs_server --data DIR --credentials FILE [--host H] [--port P]``."""

from __future__ import annotations

import argparse
import sqlite3
from pathlib import Path

import uvicorn

from slipway.embedded.lakefs_server.app import create_app
from slipway.embedded.lakefs_server.arrival import STALL_SECONDS
from slipway.embedded.lakefs_server.bounded_http import BoundedHttp
from slipway.embedded.lakefs_server.folder_lock import held
from slipway.embedded.lakefs_server.signing import Credentials
from slipway.errors import ConfigurationError


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
    parser.add_argument("--stall-seconds", type=float, default=STALL_SECONDS, help="longest pause inside a body")
    arguments = parser.parse_args()
    try:
        credentials = Credentials.read(arguments.credentials)
        with held(arguments.data, create=True):
            hosts = frozenset(arguments.hook_host)
            app = create_app(arguments.data, credentials, hosts, stall_seconds=arguments.stall_seconds)
            # no access log: the query strings of signed URLs are secrets while they last
            where = {"host": arguments.host, "port": arguments.port}
            uvicorn.run(app, **where, http=BoundedHttp, access_log=False, log_level="warning")
    except ConfigurationError as error:
        parser.exit(2, f"{error}\n")
    except (OSError, sqlite3.Error) as error:
        parser.exit(2, f"{arguments.data} cannot be used: {error}; see that the disk has room and may be written\n")


if __name__ == "__main__":
    main()
