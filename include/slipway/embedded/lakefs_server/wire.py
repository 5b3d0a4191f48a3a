"""From HTTP requests to calls and back: authentication, bodies, pages, errors."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from slipway.embedded.lakefs_server.arrival import STALL_SECONDS, pieces
from slipway.embedded.lakefs_server.gate import Gate
from slipway.embedded.lakefs_server.names import check_path
from slipway.embedded.lakefs_server.refusal import RefusalError, denied, invalid, unauthenticated
from slipway.embedded.lakefs_server.repository import Catalog, Repository
from slipway.embedded.lakefs_server.signing import Credentials, Signer
from slipway.embedded.lakefs_server.users import User

_MAX_JSON_BYTES = 8 * 2**20
_DEFAULT_AMOUNT = 100
_MAX_AMOUNT = 1000

Item = TypeVar("Item")
Body = TypeVar("Body", bound=BaseModel)
Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Server:
    """What the endpoints share."""

    catalog: Catalog
    credentials: Credentials
    signer: Signer
    gate: Gate
    stall_seconds: float = STALL_SECONDS


@dataclass(frozen=True)
class Call:
    """One request whose JSON body, if any, has been read."""

    server: Server
    request: Request
    data: Any = None
    user: User | None = None

    @property
    def user_id(self) -> str:
        """Who asks; 401 where a URL's signature stands for the user."""
        if self.user is None:
            raise unauthenticated()
        return self.user.id

    @property
    def repository(self) -> Repository:
        return self.server.catalog.get(self["repository"])

    def __getitem__(self, name: str) -> str:
        return str(self.request.path_params[name])

    def text(self, name: str, default: str = "") -> str:
        """A query parameter."""
        return self.request.query_params.get(name, default)

    def flag(self, name: str, default: bool = False) -> bool:
        """A boolean query parameter; the SDK writes ``True`` and ``False``."""
        return self.text(name, str(default)).lower() in ("true", "1")

    def amount(self) -> int:
        """The page size asked for: default 100, -1 is the most there is, 400 outside -1..1000."""
        try:
            amount = int(self.text("amount", str(_DEFAULT_AMOUNT)))
        except ValueError:
            amount = _MAX_AMOUNT + 1
        if not -1 <= amount <= _MAX_AMOUNT:
            raise invalid(f"invalid amount: expected -1 to {_MAX_AMOUNT}")
        return amount if amount >= 0 else _MAX_AMOUNT

    def path(self, name: str = "path") -> bytes:
        """The object path in a query parameter."""
        return check_path(self.text(name))

    def body(self, model: type[Body]) -> Body:
        """The JSON body as ``model``; 400 with the first thing that is wrong."""
        try:
            return model.model_validate(self.data)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise invalid(f"invalid request body at {where or 'its top'}: {first['msg']}") from error


def page(call: Call, items: Iterator[Item], show: Callable[[Item], dict[str, Any]], key: str) -> Response:
    """Answer with up to ``amount`` of ``items``; ``key`` is the shown field that the next page starts after."""
    amount = call.amount()
    results: list[dict[str, Any]] = []
    more = False
    for item in items:
        if len(results) == amount:
            more = True
            break
        results.append(show(item))
    offset = str(results[-1][key]) if more and results else ""
    pagination = {"has_more": more, "next_offset": offset, "results": len(results), "max_per_page": _MAX_AMOUNT}
    return JSONResponse({"pagination": pagination, "results": results})


def grouped(items: Iterable[Item], path_of: Callable[[Item], bytes], call: Call) -> Iterator[Item | bytes]:
    """Replace runs of items that share the prefix up to the call's delimiter by that common prefix."""
    prefix, delimiter, after = (call.text(name).encode() for name in ("prefix", "delimiter", "after"))
    last = after
    for item in items:
        group = common_prefix(path_of(item), prefix, delimiter)
        if group is None:
            yield item
        elif group > last:
            last = group
            yield group


def common_prefix(path: bytes, prefix: bytes, delimiter: bytes) -> bytes | None:
    """The part of ``path`` up to the first delimiter after ``prefix``, if there is one."""
    end = path.find(delimiter, len(prefix)) if delimiter else -1
    return None if end < 0 else path[: end + len(delimiter)]


def answer(handler: Callable[[Call], Response], *, writes: str | None = None) -> Endpoint:
    """Make an endpoint of a blocking function: admitted, its JSON body read, run on a thread.

    ``writes`` is the path parameter that names the one branch it changes. Without it everyone may GET, and only an
    admin may do anything else.
    """

    async def endpoint(request: Request) -> Response:
        call = admit(request, writes)
        data = await _read_json(request) if request.method in ("POST", "PUT") else None
        return await run_in_threadpool(handler, Call(call.server, request, data, call.user))

    return endpoint


def admit(request: Request, writes: str | None) -> Call:
    """The request of a user who may do this: 401 without a known key pair, 403 without the right."""
    server: Server = request.app.state.server
    user = server.credentials.user(request.headers.get("authorization", ""))
    if user is None:
        raise unauthenticated()
    if writes is not None or request.method not in ("GET", "HEAD"):
        place = request.path_params
        branch = None if writes is None else place[writes]
        if not user.may_write(place.get("repository"), branch):
            what = f"branch {branch}" if branch else "this"
            raise denied(f"insufficient permissions: {user.id} has the role {user.role} and may not change {what}")
    return Call(server, request, user=user)


async def _read_json(request: Request) -> Any:
    body = bytearray()
    async for piece in pieces(request):
        body += piece
        if len(body) > _MAX_JSON_BYTES:
            raise RefusalError(413, f"request body too large: expected at most {_MAX_JSON_BYTES} bytes")
    try:
        return json.loads(bytes(body)) if body else {}
    except (ValueError, RecursionError) as error:
        raise invalid("invalid request body: expected JSON") from error


def refuse(request: Request, error: Exception) -> Response:
    """Answer a RefusalError."""
    assert isinstance(error, RefusalError)  # noqa: S101 - registered for this class only
    if request.method == "HEAD":
        return Response(status_code=error.status)
    headers = {401: {"WWW-Authenticate": "Basic"}, 408: {"Connection": "close"}}.get(error.status)
    return JSONResponse(error.body, error.status, headers)


def refuse_text(request: Request, error: Exception) -> Response:
    """Answer text that UTF-8 cannot hold (JSON can spell half a surrogate pair)."""
    return refuse(request, invalid(f"invalid text in the request: {type(error).__name__}; expected valid Unicode"))


def hang_up(request: Request, error: Exception) -> Response:  # noqa: ARG001
    """The client went away during its upload: nobody hears this, and nothing was kept."""
    return Response(status_code=499)


def fail(request: Request, error: Exception) -> Response:  # noqa: ARG001 - the ASGI server logs it
    """Answer anything unforeseen; its details stay in the server's log."""
    return JSONResponse({"message": "internal server error; see the server's log"}, 500)
