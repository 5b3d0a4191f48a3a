"""Signed, expiring URLs for bodies, and staging addresses bound to one repository, branch and path.

A URL is good while the keys and rights of the user who asked for it are.
"""

from __future__ import annotations

import re
import time
import uuid
from dataclasses import dataclass
from urllib.parse import urlencode

from slipway.embedded.lakefs_server.blobs import Blob
from slipway.embedded.lakefs_server.bodies import StagingMetadata
from slipway.embedded.lakefs_server.refusal import RefusalError, invalid, unauthenticated
from slipway.embedded.lakefs_server.repository import Repository
from slipway.embedded.lakefs_server.trees import Entry
from slipway.embedded.lakefs_server.wire import Call

_URL_SECONDS = 15 * 60
_ADDRESS_SECONDS = 24 * 3600  # a job may upload long before it links
_ADDRESS = re.compile(r"(?P<namespace>.+)/staged/(?P<upload>[0-9a-f]{32})-(?P<expires>\d{1,12})-(?P<mac>[0-9a-f]{64})")


@dataclass(frozen=True)
class Link:
    """A URL and the last unix second it is good for."""

    url: str
    expires: int


def _link(call: Call, purpose: str, place: str, content_type: str = "") -> Link:
    if call.user is None:
        raise unauthenticated()
    expires = int(time.time()) + _URL_SECONDS
    parts = (call["repository"], place, content_type, call.user.seal)
    signature = call.server.signer.sign(purpose, expires, *parts)
    query = urlencode({"expires": expires, "type": content_type, "user": call.user.id, "signature": signature})
    return Link(f"{call.request.base_url}api/v1/storage/{call['repository']}/{place}?{query}", expires)


def download_link(call: Call, entry: Entry) -> Link:
    """A URL that answers with the object's bytes."""
    return _link(call, "download", f"objects/{entry.sha256}-{entry.checksum}", entry.content_type)


def upload_location(call: Call) -> dict[str, str | int]:
    """A StagingLocation for (repository, branch, path), with an upload URL when ``presign`` is asked for."""
    path = call.path().decode()
    upload, expires = uuid.uuid4().hex, int(time.time()) + _ADDRESS_SECONDS
    mac = call.server.signer.sign("link", expires, call["repository"], call["branch"], path, upload)
    location: dict[str, str | int] = {
        "physical_address": f"{call.repository.namespace}/staged/{upload}-{expires}-{mac}"
    }
    if call.flag("presign"):
        link = _link(call, "upload", f"uploads/{upload}")
        location |= {"presigned_url": link.url, "presigned_url_expiry": link.expires}
    return location


def require_signature(call: Call, purpose: str, place: str) -> None:
    """403 unless the request's own URL was signed for this, has not expired, and its user's keys and rights hold."""
    expires, content_type = call.text("expires"), call.text("type")
    user = call.server.credentials.named(call.text("user"))
    good = expires.isdecimal() and len(expires) <= 12
    parts = (call["repository"], place, content_type, user.seal if user else "")
    if not (user and good and call.server.signer.accepts(call.text("signature"), purpose, int(expires), *parts)):
        raise RefusalError(403, "the URL's signature is wrong or has expired; ask for a new one")


def remember_upload(repository: Repository, upload: str, blob: Blob) -> None:
    """Note which bytes an upload URL received, durable when this returns."""
    with repository.database.writing() as connection:
        repository.blobs.claim(blob.sha256)
        values = (upload, blob.sha256, blob.md5, blob.size, int(time.time()))
        connection.execute("INSERT OR REPLACE INTO uploads VALUES (?, ?, ?, ?, ?)", values)


def linked_blob(call: Call) -> tuple[Blob, StagingMetadata]:
    """The uploaded bytes a link request speaks of; 400 unless address, checksum and size are the upload's own."""
    body = call.body(StagingMetadata)
    match = _ADDRESS.fullmatch(body.staging.physical_address)
    if match is None or match["namespace"] != call.repository.namespace:
        raise invalid("link address: this server did not hand out that physical address")
    parts = (call["repository"], call["branch"], call.path().decode(), match["upload"])
    if not call.server.signer.accepts(match["mac"], "link", int(match["expires"]), *parts):
        raise invalid("link address: made for another repository, branch or path, or expired")
    with call.repository.database.reading() as connection:
        query = "SELECT sha256, md5, size FROM uploads WHERE id = ?"
        row = connection.execute(query, (match["upload"],)).fetchone()
    if row is None:
        raise invalid("link address: nothing was uploaded to it")
    blob = Blob(*row)
    if (body.checksum.strip('"'), body.size_bytes) != (blob.md5, blob.size):
        raise invalid(f"link address: {blob.size} bytes with MD5 {blob.md5} were uploaded, not what the request says")
    return blob, body
