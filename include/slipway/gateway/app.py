"""The gateway's HTTP face: signed files out, telemetry in, evidence for the operator.

=======  ========================  ==========================  ==========================================
method   path                      who                         answers
=======  ========================  ==========================  ==========================================
GET      /tuf/metadata/…           anybody                     TUF metadata; trust is in the signatures
GET      /tuf/targets/…            anybody                     target files
POST     /v1/enrol                 holder of enrolment token   201, 200 again, 409 for another key
POST     /v1/telemetry             an enrolled device, signed  202, 200 for a repeat
GET      /v1/devices               operator                    the pipeline's devices
DELETE   /v1/devices/…             operator                    204; 404 when the pipeline has no such device
GET      /v1/devices/…/running     operator                    what it ran ``at`` a time, ``null`` if not known
GET      /v1/devices/…/history     operator                    all it ran, in pages
POST     /v1/ran                   operator                    who ever ran one of these versions, in pages
GET      /v1/evidence              operator                    one line per device of a release's version
GET      /healthz                  anybody                     200 when the database answers, else 503
=======  ========================  ==========================  ==========================================

Times are Unix seconds. A page is up to 1,000 stretches of ``history.Page``; its ``next`` is asked for as ``after``.
Errors are ``{"error": "…"}``. Only ``metadata/`` and ``targets/`` of the repository folder are served.
"""

from __future__ import annotations

import hmac
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from slipway.errors import UnknownDeviceError
from slipway.gateway.signature import is_public_key, verifies
from slipway.gateway.store import Store
from slipway.gateway.wire import MAX_BODY_BYTES, MAX_QUESTION_BYTES, Batch, Enrolment, VersionsAsked

_DEVICE_HEADER = "X-Slipway-Device"
_SIGNATURE_HEADER = "X-Slipway-Signature"
_END_OF_TIME = 1e12


@dataclass(frozen=True)
class Tokens:
    """Who may enrol devices, and who may read what they reported and remove them."""

    enrolment: str = field(repr=False)
    operator: str = field(repr=False)


M = TypeVar("M", Enrolment, Batch, VersionsAsked)


class SignedFiles(StaticFiles):
    """Files of the channel. What has a version or a hash in its name never changes, the timestamp always may."""

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        path = Path(full_path)
        if path.name == "timestamp.json":
            # Read at once: it may be replaced between the look at its size and the reading of its content.
            return Response(path.read_bytes(), media_type="application/json", headers={"Cache-Control": "no-cache"})
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


class Gateway:
    """The request handlers over one store."""

    def __init__(self, store: Store, tokens: Tokens) -> None:
        self._store = store
        self._tokens = tokens

    async def enrol(self, request: Request) -> Response:
        _require(request, self._tokens.enrolment, "enrolment")
        enrolment = _parsed(Enrolment, await _body(request))
        if not is_public_key(enrolment.public_key):
            raise HTTPException(422, "public_key is not an Ed25519 key")
        outcome = await run_in_threadpool(self._store.enrol, enrolment)
        if outcome == "other_key":
            raise HTTPException(409, f"{enrolment.device_id} is enrolled with another key; choose another id")
        return JSONResponse({"device_id": enrolment.device_id}, 201 if outcome == "new" else 200)

    async def telemetry(self, request: Request) -> Response:
        body = await _body(request)
        device_id = request.headers.get(_DEVICE_HEADER, "")
        signature = request.headers.get(_SIGNATURE_HEADER, "")
        if not device_id or not signature:
            raise HTTPException(401, f"{_DEVICE_HEADER} and {_SIGNATURE_HEADER} are required")
        return await run_in_threadpool(self._receive, device_id, signature, body)

    def _receive(self, device_id: str, signature: str, body: bytes) -> Response:
        key = self._store.public_key(device_id)
        if key is None:
            raise HTTPException(404, "this device is not enrolled")
        if not verifies(key, signature, body):
            raise HTTPException(401, "the signature does not verify with the enrolled key")
        batch = _parsed(Batch, body)
        if batch.device_id != device_id:
            raise HTTPException(422, f"the batch is of {batch.device_id}, the header says {device_id}")
        try:
            receipt = self._store.accept(batch, body.decode())
        except LookupError as error:
            raise HTTPException(404, "this device is not enrolled any more") from error
        answer = {"accepted": receipt.accepted, "sequence": receipt.sequence}
        return JSONResponse(answer, 200 if receipt.repeated else 202)

    async def devices(self, request: Request) -> Response:
        _require(request, self._tokens.operator, "operator")
        devices = await run_in_threadpool(self._store.devices, _asked(request, "pipeline"))
        return JSONResponse({"devices": devices})

    async def remove(self, request: Request) -> Response:
        _require(request, self._tokens.operator, "operator")
        pipeline, device_id = _asked(request, "pipeline"), request.path_params["device_id"]
        if "\x00" in device_id or not await run_in_threadpool(self._store.remove, pipeline, device_id):
            raise HTTPException(404, f"{pipeline} has no device of that id")
        return Response(status_code=204)

    async def running(self, request: Request) -> Response:
        _require(request, self._tokens.operator, "operator")
        stretch = await run_in_threadpool(self._store.running, _device(request), _seconds(request, "at"))
        return JSONResponse({"running": stretch})

    async def history(self, request: Request) -> Response:
        _require(request, self._tokens.operator, "operator")
        after = _whole(request, "after") if "after" in request.query_params else -1
        page = await run_in_threadpool(self._store.history, _device(request), after)
        return JSONResponse({"stretches": page.stretches, "next": page.next and page.next[1]})

    async def ran(self, request: Request) -> Response:
        _require(request, self._tokens.operator, "operator")
        asked = _parsed(VersionsAsked, await _body(request, MAX_QUESTION_BYTES))
        page = await run_in_threadpool(self._store.devices_of, asked.pipeline, asked.versions, asked.after)
        return JSONResponse({"stretches": page.stretches, "next": page.next})

    async def evidence(self, request: Request) -> Response:
        _require(request, self._tokens.operator, "operator")
        asked = (_asked(request, "pipeline"), _asked(request, "release"), _asked(request, "version"))
        devices = await run_in_threadpool(self._store.evidence, *asked)
        return JSONResponse({"devices": devices})

    async def health(self, _request: Request) -> Response:
        await run_in_threadpool(self._store.check)
        return JSONResponse({"status": "ok"})


def create_app(store: Store, repository: Path, tokens: Tokens) -> Starlette:
    """The gateway as an ASGI application. ``repository`` is the channel's folder; it may be filled later."""
    gateway = Gateway(store, tokens)
    return Starlette(
        routes=[
            Route("/healthz", gateway.health),
            Route("/v1/enrol", gateway.enrol, methods=["POST"]),
            Route("/v1/telemetry", gateway.telemetry, methods=["POST"]),
            Route("/v1/devices", gateway.devices),
            Route("/v1/devices/{device_id}", gateway.remove, methods=["DELETE"]),
            Route("/v1/devices/{device_id}/running", gateway.running),
            Route("/v1/devices/{device_id}/history", gateway.history),
            Route("/v1/ran", gateway.ran, methods=["POST"]),
            Route("/v1/evidence", gateway.evidence),
            Mount("/tuf/metadata", SignedFiles(directory=repository / "metadata", check_dir=False)),
            Mount("/tuf/targets", SignedFiles(directory=repository / "targets", check_dir=False)),
        ],
        exception_handlers={
            HTTPException: _refused,
            UnknownDeviceError: _unknown_device,
            SQLAlchemyError: _database_away,
        },
    )


async def _refused(_request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    return JSONResponse({"error": error.detail}, error.status_code, headers=dict(error.headers or {}))


async def _unknown_device(_request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 404)


async def _database_away(_request: Request, _error: Exception) -> Response:
    # Devices keep their batches and post them again on 503; the cause is for the log, not for them.
    return JSONResponse({"error": "the gateway's database does not answer; try again"}, 503)


async def _body(request: Request, most: int = MAX_BODY_BYTES) -> bytes:
    """The whole body; 413 as soon as it is known to be too large, without reading the rest."""
    announced = request.headers.get("content-length", "0")
    if not announced.isdecimal() or int(announced) > most:
        raise HTTPException(413, f"a body may have {most} bytes, {announced[:20]} were announced")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise HTTPException(413, f"a body may have {most} bytes")
    return bytes(body)


def _parsed(kind: type[M], body: bytes) -> M:
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)[:5]
        said = "; ".join(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in problems)
        raise HTTPException(422, said) from error


def _require(request: Request, token: str, name: str) -> None:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    # Compared as bytes in constant time: how long a wrong token takes says nothing about the right one.
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.encode(), token.encode()):
        raise HTTPException(401, f"the {name} token is missing or wrong", {"WWW-Authenticate": "Bearer"})


def _asked(request: Request, name: str) -> str:
    value = request.query_params.get(name, "")
    if not value or len(value) > 200 or "\x00" in value:
        raise HTTPException(422, f"the query must have {name}, 1 to 200 characters")
    return value


def _seconds(request: Request, name: str) -> float:
    given = _asked(request, name)
    try:
        value = float(given)
    except ValueError:
        value = math.nan
    if not 0 <= value < _END_OF_TIME:
        raise HTTPException(422, f"{name} must be Unix seconds, a number from 0 on; got {given[:40]!r}")
    return value


def _whole(request: Request, name: str) -> int:
    given = _asked(request, name)
    if not (given.isdecimal() and len(given) < 18):
        raise HTTPException(422, f"{name} must be the last answer's next, a whole number; got {given[:40]!r}")
    return int(given)


def _device(request: Request) -> str:
    device_id: str = request.path_params["device_id"]
    if "\x00" in device_id:
        raise HTTPException(404, "no device has such an id")
    return device_id
