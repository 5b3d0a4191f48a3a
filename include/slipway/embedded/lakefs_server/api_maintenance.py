"""What an operator asks of this server; no part of lakeFS's API, and so not under its ``/api``."""

from __future__ import annotations

import sqlite3
import threading
import time

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from slipway.embedded.lakefs_server import gc
from slipway.embedded.lakefs_server.bodies import Collection
from slipway.embedded.lakefs_server.gc import Collected
from slipway.embedded.lakefs_server.refusal import RefusalError
from slipway.embedded.lakefs_server.repository import Repository
from slipway.embedded.lakefs_server.wire import Call, answer

_collecting = threading.Lock()


def _collect(call: Call) -> Response:
    """Collect in every repository, one after the other; 409 while another collection runs."""
    body = call.body(Collection)
    if not _collecting.acquire(blocking=False):
        raise RefusalError(409, "a collection is running; wait for it to end")
    try:
        cutoff = time.time_ns() - int(body.older_than_seconds * 1_000_000_000)
        found = [_collect_one(call, one, cutoff, bool(body.dry_run)) for one in call.server.catalog.all()]
    finally:
        _collecting.release()
    return JSONResponse({"dry_run": body.dry_run, "repositories": [one.shown() for one in found]})


def _collect_one(call: Call, repository: Repository, cutoff: int, dry_run: bool) -> Collected:
    try:
        return gc.collect(repository, cutoff, dry_run=dry_run)
    except (OSError, sqlite3.Error):
        if repository in call.server.catalog.all():
            raise
        return Collected(repository.id)  # deleted meanwhile, with all it had


ROUTES = [Route("/gc", answer(_collect), methods=["POST"])]
