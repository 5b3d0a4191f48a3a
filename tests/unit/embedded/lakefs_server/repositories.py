"""Repositories made without a server, for the tests of what works on their files."""

from __future__ import annotations

from pathlib import Path

from slipway.embedded.lakefs_server import staging
from slipway.embedded.lakefs_server.blobs import Blob
from slipway.embedded.lakefs_server.repository import Repository
from slipway.embedded.lakefs_server.trees import Entry


def store(repository: Repository, content: bytes) -> Blob:
    """Keep an object's bytes, as an upload does before anything names them."""
    incoming = repository.blobs.receive()
    try:
        incoming.write(content)
        return incoming.keep()
    finally:
        incoming.discard()


def entry_of(blob: Blob) -> Entry:
    return Entry(blob.sha256, blob.md5, blob.size, "text/plain")


def put(repository: Repository, branch: str, path: str, content: bytes) -> Blob:
    """Write an object to a branch's staging."""
    blob = store(repository, content)
    staging.put(repository, branch, path.encode(), entry_of(blob))
    return blob


def files(folder: Path) -> set[str]:
    """The SHA-256 of every object file of the repository in ``folder``."""
    return {path.name for path in (folder / "objects").glob("*/*")}
