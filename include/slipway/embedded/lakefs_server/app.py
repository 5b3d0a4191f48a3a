"""The ASGI application."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Set
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount

from slipway.embedded.lakefs_server import (
    api_actions,
    api_commits,
    api_maintenance,
    api_objects,
    api_repositories,
    api_staging,
)
from slipway.embedded.lakefs_server.arrival import STALL_SECONDS
from slipway.embedded.lakefs_server.gate import Gate
from slipway.embedded.lakefs_server.refusal import RefusalError
from slipway.embedded.lakefs_server.repository import Catalog
from slipway.embedded.lakefs_server.signing import Credentials, Signer
from slipway.embedded.lakefs_server.storage_faults import answer_fault
from slipway.embedded.lakefs_server.wire import Server, fail, hang_up, refuse, refuse_text

_APIS = (api_repositories, api_commits, api_objects, api_staging, api_actions)


def create_app(
    data: Path,
    credentials: Credentials,
    hook_hosts: Set[str] = frozenset(),
    *,
    stall_seconds: float = STALL_SECONDS,
) -> Starlette:
    """Serve the repositories under the folder ``data``, which one process may use at a time.

    Webhooks go to this machine and to ``hook_hosts`` only. A client may send nothing for ``stall_seconds`` in a body.
    """
    routes = [route for api in _APIS for route in api.ROUTES]
    handlers: dict[Any, Callable[[Request, Exception], Any]] = {
        RefusalError: refuse,
        HTTPException: _unknown,
        UnicodeEncodeError: refuse_text,
        ClientDisconnect: hang_up,
        OSError: answer_fault,
        sqlite3.Error: answer_fault,
        Exception: fail,
    }
    mounts = [Mount("/api/v1", routes=routes), Mount("/slipway/v1", routes=api_maintenance.ROUTES)]
    app = Starlette(routes=mounts, exception_handlers=handlers)
    app.state.server = Server(Catalog(data), credentials, Signer(credentials), Gate(hook_hosts), stall_seconds)
    return app


def _unknown(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class only
    message = f"{request.method} {request.url.path}: {error.detail}; this server offers a part of lakeFS's API"
    return JSONResponse({"message": message}, error.status_code, error.headers)
