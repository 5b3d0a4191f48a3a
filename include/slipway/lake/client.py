"""The lake as Slipway uses it: repositories, branches, objects, commits, merges and tags of a lakeFS server.

Every method may be repeated without harm: what is there is adopted, what is gone stays gone, and a commit or merge
that would change nothing returns the commit that already says so.

Raises, in every method, ``UnavailableError`` when the server stays unreachable or overloaded after the retries,
``LakeNotFoundError``, ``LakeConflictError`` (with ``paths`` where a merge failed), ``LakeDeniedError``, or
``LakeError`` for anything else lakeFS refuses.
"""

from __future__ import annotations

import http
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import islice
from typing import Any

import lakefs_sdk
from lakefs.config import ClientConfig
from lakefs.exceptions import NoAuthenticationFound
from lakefs.object import WriteableObject

from slipway.connections import LakeConnection
from slipway.errors import ConfigurationError, LakeConflictError, LakeError, LakeNotFoundError
from slipway.lake.records import CommitInfo, ObjectInfo
from slipway.lake.repositories import create_repository, protect
from slipway.lake.session import PAGE, NoChangesError, Session
from slipway.lake.uri import LakeUri

__all__ = ["CommitInfo", "Lake", "ObjectInfo"]

MAIN = "main"


class Lake:
    """A lakeFS server; make one per process and share it between threads.

    ``patience_seconds`` bounds how long one request is tried again while the server is overloaded or unreachable.
    """

    def __init__(self, connection: LakeConnection, *, patience_seconds: float = 15.0) -> None:
        self.session = Session(connection, patience_seconds)
        self._sdk = self.session.sdk
        self._call = self.session.call

    @classmethod
    def from_environment(cls) -> Lake:
        """The server that lakeFS's own environment names; raises ``ConfigurationError`` when it names none."""
        return cls(connection_from_environment())

    def ensure_repository(self, name: str) -> None:
        """Make the repository and protect its ``main`` against direct writes, as far as either is missing."""
        try:
            self._call(f"looking up repository {name}", self._sdk.repositories_api.get_repository, name)
        except LakeNotFoundError:
            create_repository(self.session, name, MAIN)
        protect(self.session, name, MAIN)

    def resolve(self, repository: str, ref: str) -> str:
        """The commit id (64 hex digits) a branch, tag or other reference names now."""
        return self.commit_info(repository, ref).id

    def create_branch(self, repository: str, name: str, source: str) -> str:
        """Make a branch off ``source``, or adopt the one of that name; returns its head's commit id."""
        creation = lakefs_sdk.BranchCreation(name=name, source=source)
        doing = f"creating branch {name} of {repository} off {source}"
        try:
            self._call(doing, self._sdk.branches_api.create_branch, repository, creation)
        except LakeConflictError as conflict:
            try:
                return self._head(repository, name)
            except LakeNotFoundError:
                raise conflict from None  # The name is taken by a tag or a commit, not by a branch.
        return self._head(repository, name)

    def delete_branch(self, repository: str, name: str) -> None:
        """Delete a branch and what is uncommitted on it; an absent branch is fine."""
        try:
            self._call(
                f"deleting branch {name} of {repository}", self._sdk.branches_api.delete_branch, repository, name
            )
        except LakeNotFoundError:
            self._call(f"looking up repository {repository}", self._sdk.repositories_api.get_repository, repository)

    def branches(self, repository: str, prefix: str = "") -> list[str]:
        """Names of the branches that begin with ``prefix``, in byte order."""
        listing = self.session.pages(
            f"listing branches of {repository}", self._sdk.branches_api.list_branches, repository, prefix=prefix
        )
        return [branch.id for branch in listing]

    def put(self, uri: LakeUri, data: bytes, content_type: str = "application/octet-stream") -> None:
        """Write an object on a branch, uncommitted; the same bytes and content type again are no change."""
        target = WriteableObject(uri.repository, uri.ref, uri.path, self.session.client)
        self.session.attempt(
            f"writing {uri}",
            lambda: target.upload(data, mode="wb", pre_sign=False, content_type=content_type),
        )

    def get(self, uri: LakeUri) -> bytes:
        return self._get(uri)

    def get_range(self, uri: LakeUri, start: int, end: int) -> bytes:
        """Bytes ``start`` up to but not including ``end`` of an object; fewer when the object ends before."""
        return self._get(uri, range=f"bytes={start}-{end - 1}")

    def copy(self, source: LakeUri, destination: LakeUri) -> None:
        """Copy an object within a repository onto a branch, uncommitted; the server copies, nothing comes by here."""
        creation = lakefs_sdk.ObjectCopyCreation(src_path=source.path, src_ref=source.ref)
        copy = self._sdk.objects_api.copy_object
        self._call(
            f"copying {source} to {destination}",
            copy,
            destination.repository,
            destination.ref,
            destination.path,
            creation,
        )

    def exists(self, uri: LakeUri) -> bool:
        """Whether the object is there; false too when its repository or reference is not."""
        try:
            self._call(f"looking up {uri}", self._sdk.objects_api.head_object, uri.repository, uri.ref, uri.path)
        except LakeNotFoundError:
            return False
        return True

    def list(self, uri: LakeUri) -> list[ObjectInfo]:
        """Every object in the folder ``uri`` and the folders in it, in byte order; none is an empty list."""
        listing = self.session.pages(
            f"listing {uri}",
            self._sdk.objects_api.list_objects,
            uri.repository,
            uri.ref,
            prefix=uri.folder,
            user_metadata=False,
            presign=False,
        )
        return [ObjectInfo(found.path, found.size_bytes or 0, found.checksum) for found in listing]

    def delete(self, uri: LakeUri) -> None:
        """Delete an object from a branch, uncommitted; an absent object is fine."""
        self.delete_many(uri.repository, uri.ref, [uri.path])

    def delete_many(self, repository: str, branch: str, paths: Sequence[str]) -> None:
        """Delete objects from a branch, uncommitted; absent ones are fine. Raises ``LakeError`` naming what stayed."""
        for start in range(0, len(paths), PAGE):
            batch = lakefs_sdk.PathList(paths=list(paths[start : start + PAGE]))
            doing = f"deleting {len(batch.paths)} objects from {repository}/{branch}"
            answer = self._call(doing, self._sdk.objects_api.delete_objects, repository, branch, batch)
            failed = [error for error in answer.errors if error.status_code != http.HTTPStatus.NOT_FOUND]
            if failed:
                raise LakeError(f"{doing}: {failed[0].path} stayed ({failed[0].status_code} {failed[0].message})")

    def uncommitted(self, repository: str, branch: str, prefix: str = "", limit: int = PAGE) -> tuple[str, ...]:
        """Paths under ``prefix`` that were changed on a branch since its last commit, at most ``limit``."""
        listing = self.session.pages(
            f"listing changes on {branch} of {repository}",
            self._sdk.branches_api.diff_branch,
            repository,
            branch,
            prefix=prefix,
        )
        return tuple(change.path for change in islice(listing, limit))

    def changed_since(self, repository: str, parted: str, ref: str, prefix: str) -> bool:
        """Whether ``ref`` changed something under ``prefix`` since ``parted`` parted from it that ``parted`` lacks."""
        return any(True for _ in self._changes(repository, parted, ref, prefix))

    def last_write(self, repository: str, branch: str) -> int | None:
        """When a branch was last written to since its last commit, in unix seconds; ``None``: nothing is uncommitted.

        Looks at the first ``PAGE`` uncommitted paths; a deletion has no time of its own.
        """
        times = []
        for path in self.uncommitted(repository, branch):
            doing = f"looking up {path} on {branch} of {repository}"
            with suppress(LakeNotFoundError):
                times.append(int(self._call(doing, self._sdk.objects_api.stat_object, repository, branch, path).mtime))
        return max(times, default=None)

    def commit(self, repository: str, branch: str, message: str, metadata: Mapping[str, str]) -> str:
        """Commit what is uncommitted on a branch; returns the commit id, of its head when nothing was uncommitted."""
        creation = lakefs_sdk.CommitCreation(message=message, metadata=dict(metadata))
        doing = f"committing {branch} of {repository}"
        try:
            return str(self._call(doing, self._sdk.commits_api.commit, repository, branch, creation).id)
        except NoChangesError:
            return self._head(repository, branch)

    def merge(self, repository: str, source: str, destination: str, message: str, metadata: Mapping[str, str]) -> str:
        """Merge what is committed on ``source`` into the branch ``destination``.

        Returns the merge's commit id; the head of ``destination`` when it already has everything of ``source``.
        Raises ``LakeConflictError`` with the paths both sides changed; then nothing was changed.
        """
        doing = f"merging {source} into {destination} of {repository}"
        merge = lakefs_sdk.Merge(message=message, metadata=dict(metadata))
        try:
            result = self._call(doing, self._sdk.refs_api.merge_into_branch, repository, source, destination, merge)
        except NoChangesError:
            return self._head(repository, destination)
        except LakeConflictError as conflict:
            paths = self._conflicts(repository, source, destination)
            raise LakeConflictError(conflict_message(doing, paths), paths) from conflict
        return str(result.reference)

    def tag(self, repository: str, name: str, ref: str) -> None:
        """Name a commit for good; raises ``LakeConflictError`` when the tag names another commit."""
        commit = self.resolve(repository, ref)
        creation = lakefs_sdk.TagCreation(id=name, ref=commit)
        try:
            self._call(f"tagging {ref} of {repository} as {name}", self._sdk.tags_api.create_tag, repository, creation)
        except LakeConflictError as conflict:
            named = self._call(f"looking up tag {name}", self._sdk.tags_api.get_tag, repository, name).commit_id
            if named != commit:
                raise LakeConflictError(tag_message(repository, name, commit, named)) from conflict

    def tags(self, repository: str) -> dict[str, str]:
        """Every tag and the id of the commit it names."""
        listing = self.session.pages(f"listing tags of {repository}", self._sdk.tags_api.list_tags, repository)
        return {tag.id: tag.commit_id for tag in listing}

    def commit_info(self, repository: str, ref: str) -> CommitInfo:
        """The commit a reference names."""
        doing = f"resolving {ref} of {repository}"
        return _commit_info(self._call(doing, self._sdk.commits_api.get_commit, repository, ref))

    def log(self, repository: str, ref: str, limit: int) -> tuple[CommitInfo, ...]:
        """The latest ``limit`` commits reachable from a reference, newest first."""
        listing = self.session.pages(
            f"reading the log of {ref} of {repository}", self._sdk.refs_api.log_commits, repository, ref
        )
        return tuple(_commit_info(commit) for commit in islice(listing, limit))

    def changed(self, repository: str, base: str, ref: str) -> tuple[str, ...]:
        """Paths that ``ref`` changed since it parted from ``base``: what merging it there would bring."""
        return tuple(change.path for change in self._changes(repository, base, ref))

    def _changes(self, repository: str, base: str, ref: str, prefix: str = "") -> Iterator[Any]:
        doing = f"comparing {ref} of {repository} with {base}"
        diff = self._sdk.refs_api.diff_refs
        return self.session.pages(doing, diff, repository, base, ref, type="three_dot", prefix=prefix)

    def _get(self, uri: LakeUri, **options: Any) -> bytes:
        get = self._sdk.objects_api.get_object
        return bytes(self._call(f"reading {uri}", get, uri.repository, uri.ref, uri.path, presign=False, **options))

    def _head(self, repository: str, branch: str) -> str:
        doing = f"looking up branch {branch} of {repository}"
        return str(self._call(doing, self._sdk.branches_api.get_branch, repository, branch).commit_id)

    def _conflicts(self, repository: str, source: str, destination: str) -> tuple[str, ...]:
        # The merge's own answer names no paths; the three-dot diff marks the same ones.
        changes = self._changes(repository, destination, source)
        return tuple(change.path for change in changes if change.type == "conflict")


@lru_cache(maxsize=8)
def lake_at(connection: LakeConnection | None) -> Lake:
    """This process's ``Lake`` for a connection, or for its environment's, made once; what Spark's workers use."""
    return Lake.from_environment() if connection is None else Lake(connection)


def connection_from_environment() -> LakeConnection:
    """The connection that lakeFS's own environment variables (``LAKECTL_…``) or ``~/.lakectl.yaml`` give."""
    try:
        config = ClientConfig()
    except NoAuthenticationFound as error:
        raise ConfigurationError(
            "expected lakeFS credentials in LAKECTL_SERVER_ENDPOINT_URL, LAKECTL_CREDENTIALS_ACCESS_KEY_ID and "
            "LAKECTL_CREDENTIALS_SECRET_ACCESS_KEY; found none; set them where this process starts"
        ) from error
    if not (config.host and config.username and config.password):
        raise ConfigurationError("expected an endpoint, an access key and a secret key for lakeFS; set LAKECTL_*")
    return LakeConnection(config.host, config.username, config.password)


def conflict_message(doing: str, paths: Sequence[str]) -> str:
    """What a merge conflict's error says."""
    named = ", ".join(paths[:5]) + (f" and {len(paths) - 5} more" if len(paths) > 5 else "")
    return (
        f"{doing}: both sides changed {named or 'the same paths'} since they parted; "
        "nothing was merged: look at both versions, then run the partition again from its first task, which begins "
        "the branch afresh"
    )


def tag_message(repository: str, name: str, wanted: str, named: str) -> str:
    """What the error of a tag that is taken says."""
    return f"expected tag {name} of {repository} to name {wanted}, it names {named}; choose another tag"


def _commit_info(commit: Any) -> CommitInfo:
    return CommitInfo(
        id=commit.id,
        message=commit.message,
        metadata=dict(commit.metadata or {}),
        parents=tuple(commit.parents),
        created=commit.creation_date,
    )
