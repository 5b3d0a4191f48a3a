"""Endpoints of staging locations, and of the signed URLs behind them."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from slipway.embedded.lakefs_server import arrival, presigned, staging
from slipway.embedded.lakefs_server.api_objects import link, object_headers, receive_blob, send_blob
from slipway.embedded.lakefs_server.wire import Call, answer


def _location(call: Call) -> Response:
    with call.repository.database.reading() as connection:
        staging.require_writable(connection, call["branch"])
    return JSONResponse(presigned.upload_location(call))


async def _upload(request: Request) -> Response:
    call = Call(request.app.state.server, request)
    presigned.require_signature(call, "upload", f"uploads/{call['upload']}")
    blob = await receive_blob(arrival.pieces(request), call.repository)
    await run_in_threadpool(presigned.remember_upload, call.repository, call["upload"], blob)
    return Response(status_code=200, headers={"ETag": f'"{blob.md5}"'})


async def _download(request: Request) -> Response:
    call = Call(request.app.state.server, request)
    sha256, checksum = call["sha256"], call["checksum"]
    presigned.require_signature(call, "download", f"objects/{sha256}-{checksum}")
    return send_blob(call.repository, sha256, object_headers(call.text("type"), f'"{checksum}"'))


_BACKING = "/repositories/{repository}/branches/{branch}/staging/backing"

ROUTES = [
    Route(_BACKING, answer(_location, writes="branch")),
    Route(_BACKING, answer(link, writes="branch"), methods=["PUT"]),
    Route("/storage/{repository}/uploads/{upload}", _upload, methods=["PUT"]),
    Route("/storage/{repository}/objects/{sha256}-{checksum}", _download),
]
