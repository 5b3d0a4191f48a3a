"""Bytes that are in the lake's storage but not yet on a branch, until the writer's driver says so.

Two ways, as with lakeFS's own Hadoop file system: ``presigned`` uploads straight to storage under a URL lakeFS signed
and later links the object; ``simple`` serves block stores without signed URLs by uploading to a branch of its own and
copying from there. Either way the branch that is written to sees nothing before ``publish``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, Literal, Protocol

import lakefs_sdk
from lakefs.exceptions import handle_http_error

from slipway.errors import ConfigurationError, LakeError
from slipway.lake.client import Lake
from slipway.lake.uri import LakeUri

Mode = Literal["presigned", "simple"]
CONTENT_TYPE = "application/vnd.apache.parquet"
STAGING_PREFIX = "staging-"
"""Branches of interrupted ``simple`` writes begin with this; a sweep may delete them."""


@dataclass(frozen=True)
class Staged:
    """An uploaded object that is not on its branch yet. ``address`` is where lakeFS said to put it."""

    uri: LakeUri
    size: int
    checksum: str
    address: str | None = None


class Staging(Protocol):
    """Where a write job keeps its objects until it publishes them."""

    def stage(self, lake: Lake, uri: LakeUri, body: BinaryIO) -> Staged:
        """Upload ``body`` (from its start) for ``uri``."""

    def publish(self, lake: Lake, objects: Sequence[Staged]) -> None:
        """Put the objects on their branch."""

    def discard(self, lake: Lake) -> None:
        """Leave nothing that can be seen of objects that were not published."""


@dataclass(frozen=True)
class PresignedStaging:
    """Upload to a signed URL, then link. ``azure`` marks the block store that asks for an extra header."""

    azure: bool = False

    def stage(self, lake: Lake, uri: LakeUri, body: BinaryIO) -> Staged:
        api = lake.session.sdk.staging_api
        size = body.seek(0, 2)
        where = lake.session.call(
            f"staging {uri}", api.get_physical_address, uri.repository, uri.ref, uri.path, presign=True
        )
        if not (where.presigned_url and where.physical_address):
            raise LakeError(
                f"staging {uri}: expected a signed URL, lakeFS gave none; use the option access_mode=simple"
            )
        checksum = lake.session.attempt(f"uploading {uri}", lambda: self._upload(lake, where.presigned_url, body, size))
        return Staged(uri, size, checksum, where.physical_address)

    def publish(self, lake: Lake, objects: Sequence[Staged]) -> None:
        api = lake.session.sdk.staging_api
        for staged in objects:
            uri = staged.uri
            metadata = lakefs_sdk.StagingMetadata(
                staging=lakefs_sdk.StagingLocation(physical_address=staged.address),
                checksum=staged.checksum,
                size_bytes=staged.size,
                content_type=CONTENT_TYPE,
            )
            lake.session.call(f"linking {uri}", api.link_physical_address, uri.repository, uri.ref, uri.path, metadata)

    def discard(self, lake: Lake) -> None:
        """Nothing to do: an object without a link is seen by no reader, and lakeFS's garbage collection takes it."""

    def _upload(self, lake: Lake, url: str, body: BinaryIO, size: int) -> str:
        headers = {"Content-Length": str(size), "Content-Type": CONTENT_TYPE}
        if self.azure:
            headers["x-ms-blob-type"] = "BlockBlob"
        body.seek(0)
        response = lake.session.pool.request("PUT", url, body=body, headers=headers)
        handle_http_error(response)
        return str(response.headers.get("ETag", "")).strip(' "')


@dataclass(frozen=True)
class BranchStaging:
    """Upload to ``branch``, made for this job, then copy on the server."""

    repository: str
    branch: str

    def stage(self, lake: Lake, uri: LakeUri, body: BinaryIO) -> Staged:
        body.seek(0)
        content = body.read()
        lake.put(uri.at(self.branch), content, CONTENT_TYPE)
        return Staged(uri, len(content), hashlib.md5(content, usedforsecurity=False).hexdigest())

    def publish(self, lake: Lake, objects: Sequence[Staged]) -> None:
        copy = lake.session.sdk.objects_api.copy_object
        for staged in objects:
            uri = staged.uri
            source = lakefs_sdk.ObjectCopyCreation(src_path=uri.path, src_ref=self.branch)
            lake.session.call(f"copying {uri} from its staging branch", copy, uri.repository, uri.ref, uri.path, source)

    def discard(self, lake: Lake) -> None:
        lake.delete_branch(self.repository, self.branch)


def choose_staging(lake: Lake, uri: LakeUri, job: str, wanted: str | None) -> Staging:
    """The staging for one write job to ``uri``; ``wanted`` is a ``Mode``, or ``None`` to ask the server.

    ``job`` is unique to the job. Raises ``ConfigurationError`` for an unknown mode.
    """
    storage = lake.session.call(
        "reading the server's configuration", lake.session.sdk.config_api.get_config
    ).storage_config
    offered: Mode = "presigned" if storage is not None and storage.pre_sign_support else "simple"
    match wanted or offered:
        case "presigned":
            return PresignedStaging(azure=storage is not None and storage.blockstore_type == "azure")
        case "simple":
            branch = f"{STAGING_PREFIX}{job}"
            # Made once, on the driver: a task still running when the job is aborted must not bring it back.
            lake.create_branch(uri.repository, branch, uri.ref)
            return BranchStaging(uri.repository, branch)
    raise ConfigurationError(f"expected access_mode presigned or simple, came {wanted!r}")
