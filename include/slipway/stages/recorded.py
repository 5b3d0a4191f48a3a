"""A lake whose every change is in the ledger before it is made, and whose merges into one branch take turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

from slipway.lake.client import Lake
from slipway.lake.uri import LakeUri
from slipway.ledger.effects import Effect, Intents
from slipway.ledger.lock import exclusive

FINGERPRINT = "slipway.fingerprint"
"""Commit metadata that names the work a commit is of."""


class ChangingLake(Protocol):
    """What of ``slipway.lake.client.Lake`` changes something."""

    def create_branch(self, repository: str, name: str, source: str) -> str: ...

    def delete_branch(self, repository: str, name: str) -> None: ...

    def put(self, uri: LakeUri, data: bytes, content_type: str = ...) -> None: ...

    def delete_many(self, repository: str, branch: str, paths: Sequence[str]) -> None: ...

    def commit(self, repository: str, branch: str, message: str, metadata: Mapping[str, str]) -> str: ...

    def merge(
        self, repository: str, source: str, destination: str, message: str, metadata: Mapping[str, str]
    ) -> str: ...

    def tag(self, repository: str, name: str, ref: str) -> None: ...


def recorded(lake: ChangingLake, intents: Intents, locks: Path) -> Lake:
    """``lake``, which records what it changes in ``intents``; see ``slipway.lake.client.Lake`` for its methods.

    ``locks`` is the folder of the merges' lock files where the ledger has no locks of its own. Every changing method
    raises ``UnavailableError`` when the ledger does not answer, before anything is changed, and ``merge`` also when
    others merge into the branch for two minutes.
    """
    return cast(Lake, _Recorded(lake, intents, locks))


class _Recorded:
    def __init__(self, lake: ChangingLake, intents: Intents, locks: Path) -> None:
        self._lake = lake
        self._intents = intents
        self._locks = locks

    def __getattr__(self, name: str) -> Any:
        # What is not overridden below only reads, or makes what every run shares and nobody takes back.
        return getattr(self._lake, name)

    def create_branch(self, repository: str, name: str, source: str) -> str:
        effect = Effect("create_branch", _place(repository, name), _place(repository, name))
        self._intents.open(effect)
        head = self._lake.create_branch(repository, name, source)
        self._intents.done(effect, head)
        return head

    def delete_branch(self, repository: str, name: str) -> None:
        with self._intents.intended(Effect("delete_branch", _place(repository, name), _place(repository, name))):
            self._lake.delete_branch(repository, name)

    def put(self, uri: LakeUri, data: bytes, content_type: str = "application/octet-stream") -> None:
        self._intents.open(_upload(uri.repository, uri.ref))
        self._lake.put(uri, data, content_type)

    def delete(self, uri: LakeUri) -> None:
        self.delete_many(uri.repository, uri.ref, [uri.path])

    def delete_many(self, repository: str, branch: str, paths: Sequence[str]) -> None:
        if paths:
            self._intents.open(_upload(repository, branch))
            self._lake.delete_many(repository, branch, paths)

    def commit(self, repository: str, branch: str, message: str, metadata: Mapping[str, str]) -> str:
        place = _place(repository, branch)
        effect = Effect("commit", f"{place}: {message}", place, {"message": message})
        self._intents.open(effect)
        made = self._lake.commit(repository, branch, message, metadata)
        self._intents.done(_upload(repository, branch), made)
        self._intents.done(effect, made)
        return made

    def merge(self, repository: str, source: str, destination: str, message: str, metadata: Mapping[str, str]) -> str:
        place = _place(repository, destination)
        effect = Effect("merge", f"{place}<-{metadata.get(FINGERPRINT, source)}", place, {"source": source})
        self._intents.open(effect)
        # lakeFS answers all but one of those who merge into a branch at once with "try again", until they give up.
        with exclusive(f"merge into {place}", self._intents.ledger, self._locks):
            made = self._lake.merge(repository, source, destination, message, metadata)
        self._intents.done(effect, made)
        return made

    def tag(self, repository: str, name: str, ref: str) -> None:
        with self._intents.intended(Effect("tag", _place(repository, name), _place(repository, name))):
            self._lake.tag(repository, name, ref)


def _place(repository: str, ref: str) -> str:
    return f"lakefs://{repository}/{ref}"


def _upload(repository: str, branch: str) -> Effect:
    """All that a step writes on a branch until it commits it: nobody sees the one without the other."""
    return Effect("upload", _place(repository, branch), _place(repository, branch))
