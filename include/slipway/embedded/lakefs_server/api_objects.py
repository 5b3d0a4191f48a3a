"""Endpoints of objects: read, list, write, delete, copy."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from slipway.embedded.lakefs_server import arrival, presigned, staging
from slipway.embedded.lakefs_server.blobs import Blob
from slipway.embedded.lakefs_server.bodies import ObjectCopy, PathList, UserMetadataUpdate
from slipway.embedded.lakefs_server.form_upload import FormUpload, is_form
from slipway.embedded.lakefs_server.names import check_path
from slipway.embedded.lakefs_server.refusal import RefusalError, gone
from slipway.embedded.lakefs_server.repository import Repository
from slipway.embedded.lakefs_server.staging import Stat, View
from slipway.embedded.lakefs_server.trees import Entry
from slipway.embedded.lakefs_server.wire import Call, admit, answer, common_prefix, page

_METADATA_HEADER = "x-lakefs-meta-"
_DEFAULT_TYPE = "application/octet-stream"
_PIECE_BYTES = 2**20


class _Download(FileResponse):
    chunk_size = _PIECE_BYTES


def send_blob(repository: Repository, sha256: str, headers: dict[str, str]) -> Response:
    """Send a stored object (or the Range asked for); 410 if its file is gone."""
    path = repository.blobs.path(sha256)
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise gone(sha256) from error
    return _Download(path, headers=headers, stat_result=status)


async def receive_blob(pieces: AsyncIterator[bytes], repository: Repository) -> Blob:
    """Write an object to disk piece by piece; on disk under its digest when this returns."""
    try:
        return await _keep(pieces, repository)
    except OSError:
        await arrival.drain(pieces)
        raise


async def _keep(pieces: AsyncIterator[bytes], repository: Repository) -> Blob:
    incoming = await run_in_threadpool(repository.blobs.receive)
    try:
        pending = bytearray()
        async for piece in pieces:
            pending += piece
            if len(pending) >= _PIECE_BYTES:
                await run_in_threadpool(incoming.write, bytes(pending))
                pending.clear()
        incoming.write(bytes(pending))
        return await run_in_threadpool(incoming.keep)
    finally:
        incoming.discard()


def show_stat(call: Call, stat: Stat) -> dict[str, Any]:
    """An object's ObjectStats; with ``presign`` its address is a URL that needs no credentials."""
    repository = call.repository
    entry = stat.entry
    shown: dict[str, Any] = {
        "path": stat.path.decode(),
        "path_type": "object",
        "physical_address": f"{repository.namespace}/objects/{entry.sha256[:2]}/{entry.sha256}",
        "checksum": entry.checksum,
        "size_bytes": entry.size,
        "mtime": stat.mtime,
        "content_type": entry.content_type,
    }
    if call.flag("user_metadata", True):
        shown["metadata"] = dict(entry.metadata)
    if call.flag("presign"):
        link = presigned.download_link(call, entry)
        shown |= {"physical_address": link.url, "physical_address_expiry": link.expires}
    return shown


def _stat(call: Call) -> Response:
    with call.repository.database.reading() as connection:
        stat = View.of(call.repository, connection, call["ref"]).stat(call.path())
    return JSONResponse(show_stat(call, stat))


def _get(call: Call) -> Response:
    repository = call.repository
    with repository.database.reading() as connection:
        stat = View.of(repository, connection, call["ref"]).stat(call.path())
    entry = stat.entry
    etag = f'"{entry.checksum}"'
    if call.request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers={"ETag": etag})
    if call.flag("presign"):
        return RedirectResponse(presigned.download_link(call, entry).url, 302)
    return send_blob(repository, entry.sha256, object_headers(entry.content_type, etag))


def object_headers(content_type: str, etag: str) -> dict[str, str]:
    """Headers of object data; never run by a browser that follows a link to it."""
    return {"content-type": content_type, "etag": etag, "x-content-type-options": "nosniff",
            "content-security-policy": "sandbox"}  # fmt: skip


def _list(call: Call) -> Response:
    with call.repository.database.reading() as connection:
        view = View.of(call.repository, connection, call["ref"])
        found = _listing(view, *(call.text(name).encode() for name in ("prefix", "delimiter", "after")))
        return page(call, found, lambda item: _show_item(call, item), "path")


def _show_item(call: Call, item: Stat | bytes) -> dict[str, Any]:
    if isinstance(item, bytes):
        shown = {"path": item.decode(), "path_type": "common_prefix", "physical_address": "", "checksum": ""}
        return {**shown, "mtime": 0, "size_bytes": 0}
    return show_stat(call, item)


def _listing(view: View, prefix: bytes, delimiter: bytes, after: bytes) -> Iterator[Stat | bytes]:
    """Objects and common prefixes in byte order; what a common prefix stands for is skipped, not walked."""
    start = after + b"\0" if after else b""
    while True:
        for stat in view.walk(prefix, start):
            group = common_prefix(stat.path, prefix, delimiter)
            if group is None:
                yield stat
                continue
            if group > after:
                yield group
            start = group[:-1] + bytes([group[-1] + 1])  # UTF-8 never ends in 0xff
            break
        else:
            return


async def _upload(request: Request) -> Response:
    call = admit(request, "branch")
    path, repository, branch = call.path(), call.repository, call["branch"]
    form = FormUpload(request) if is_form(request) else None
    only_new = _only_new(request)

    def check() -> None:
        with repository.database.reading() as connection:
            staging.require_writable(connection, branch)

    await run_in_threadpool(check)  # refuse before a large body is sent
    blob = await receive_blob(form.pieces() if form else arrival.pieces(request), repository)
    content_type = form.content_type if form else request.headers.get("content-type")
    entry = Entry(blob.sha256, blob.md5, blob.size, content_type or _DEFAULT_TYPE, _user_metadata(request))
    stat = await run_in_threadpool(staging.put, repository, branch, path, entry, only_new=only_new)
    return JSONResponse(show_stat(call, stat), 201)


def _only_new(request: Request) -> bool:
    condition = request.headers.get("if-none-match")
    if condition not in (None, "*") or "if-match" in request.headers:
        raise RefusalError(501, "of conditional writes only If-None-Match: * is offered")
    return condition == "*"


def _user_metadata(request: Request) -> dict[str, str]:
    size = len(_METADATA_HEADER)
    items = request.headers.items()
    return {name[size:]: value for name, value in items if name.startswith(_METADATA_HEADER)}


def link(call: Call) -> Response:
    """PUT staging/backing: an uploaded body becomes the object at ``path``."""
    blob, body = presigned.linked_blob(call)
    metadata = {name.lower(): value for name, value in (body.user_metadata or {}).items()}
    entry = Entry(blob.sha256, blob.md5, blob.size, body.content_type or _DEFAULT_TYPE, metadata)
    only_new = _only_new(call.request)
    stat = staging.put(call.repository, call["branch"], call.path(), entry, only_new=only_new)
    return JSONResponse(show_stat(call, stat))


def _copy(call: Call) -> Response:
    body = call.body(ObjectCopy)
    if body.shallow:
        raise RefusalError(501, "shallow copies are not offered")
    repository, branch = call.repository, call["branch"]
    with repository.database.reading() as connection:
        source = View.of(repository, connection, body.src_ref or branch).stat(check_path(body.src_path))
    entry = source.entry
    return JSONResponse(show_stat(call, staging.put(repository, branch, call.path("dest_path"), entry)), 201)


def _set_user_metadata(call: Call) -> Response:
    metadata = call.body(UserMetadataUpdate).set
    staging.set_metadata(call.repository, call["branch"], call.path(), metadata)
    return Response(status_code=201)


def _delete(call: Call) -> Response:
    staging.remove(call.repository, call["branch"], [call.path()])
    return Response(status_code=204)


def _delete_many(call: Call) -> Response:
    paths = [check_path(path) for path in call.body(PathList).paths]
    staging.remove(call.repository, call["branch"], paths)
    return JSONResponse({"errors": []})


_REFS = "/repositories/{repository}/refs/{ref}/objects"
_BRANCHES = "/repositories/{repository}/branches/{branch}"

ROUTES = [
    Route(_REFS, answer(_get)),
    Route(_REFS + "/stat", answer(_stat)),
    Route(_REFS + "/ls", answer(_list)),
    Route(_BRANCHES + "/objects", _upload, methods=["POST"]),
    Route(_BRANCHES + "/objects", answer(_delete, writes="branch"), methods=["DELETE"]),
    Route(_BRANCHES + "/objects/delete", answer(_delete_many, writes="branch"), methods=["POST"]),
    Route(_BRANCHES + "/objects/copy", answer(_copy, writes="branch"), methods=["POST"]),
    Route(_BRANCHES + "/objects/stat/user_metadata", answer(_set_user_metadata, writes="branch"), methods=["PUT"]),
]
