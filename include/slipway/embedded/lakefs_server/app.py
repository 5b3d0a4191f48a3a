"""The ASGI application."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount

from slipway.embedded.lakefs_server import api_commits, api_objects, api_repositories, api_staging
from slipway.embedded.lakefs_server.refusal import RefusalError
from slipway.embedded.lakefs_server.repository import Catalog
from slipway.embedded.lakefs_server.signing import Credentials, Signer
from slipway.embedded.lakefs_server.wire import Server, fail, hang_up, refuse, refuse_text


def create_app(data: Path, credentials: Credentials) -> Starlette:
    """Serve the repositories under the folder ``data``, which one process may use at a time."""
    routes = [*api_repositories.ROUTES, *api_commits.ROUTES, *api_objects.ROUTES, *api_staging.ROUTES]
    handlers: dict[Any, Callable[[Request, Exception], Any]] = {
        RefusalError: refuse,
        HTTPException: _unknown,
        UnicodeEncodeError: refuse_text,
        ClientDisconnect: hang_up,
        Exception: fail,
    }
    app = Starlette(routes=[Mount("/api/v1", routes=routes)], exception_handlers=handlers)
    app.state.server = Server(Catalog(data), credentials, Signer(credentials))
    return app


def _unknown(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class only
    message = f"{request.method} {request.url.path}: {error.detail}; this server offers a part of lakeFS's API"
    return JSONResponse({"message": message}, error.status_code, error.headers)
