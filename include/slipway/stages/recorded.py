"""A lake and a channel whose every change is in the ledger before it is made, and merges that take turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, cast

from slipway.lake.client import Lake
from slipway.lake.uri import LakeUri
from slipway.ledger.effects import Effect, Intents
from slipway.ledger.lock import exclusive
from slipway.release.channel_state import Artifact, ChannelState, ReleaseChannel
from slipway.stages import intended

_NONE: Mapping[str, Artifact] = MappingProxyType({})


class ChangingLake(Protocol):
    """What of ``slipway.lake.client.Lake`` changes something that a run is answerable for."""

    def create_branch(self, repository: str, name: str, source: str) -> str: ...

    def delete_branch(self, repository: str, name: str) -> None: ...

    def put(self, uri: LakeUri, data: bytes, content_type: str = ...) -> None: ...

    def delete_many(self, repository: str, branch: str, paths: Sequence[str]) -> None: ...

    def commit(self, repository: str, branch: str, message: str, metadata: Mapping[str, str]) -> str: ...

    def merge(
        self, repository: str, source: str, destination: str, message: str, metadata: Mapping[str, str]
    ) -> str: ...

    def tag(self, repository: str, name: str, ref: str) -> None: ...


def recorded_lake(lake: ChangingLake, intents: Intents, locks: Path) -> Lake:
    """``lake``, which records what it changes in ``intents``; see ``slipway.lake.client.Lake`` for its methods.

    ``locks`` is the folder of the merges' lock files where the ledger has no locks of its own. Every changing method
    raises ``UnavailableError`` when the ledger does not answer, before anything is changed, and ``merge`` also when
    others merge into the branch for two minutes.
    """
    return cast(Lake, _RecordedLake(lake, intents, locks))


def recorded_channel(channel: ReleaseChannel, intents: Intents) -> ReleaseChannel:
    """``channel``, which records what it publishes in ``intents``; raises ``UnavailableError`` as ``recorded_lake``."""
    return _RecordedChannel(channel, intents)


class _RecordedLake:
    def __init__(self, lake: ChangingLake, intents: Intents, locks: Path) -> None:
        self._lake = lake
        self._intents = intents
        self._locks = locks

    def __getattr__(self, name: str) -> Any:
        # What is not overridden below only reads, or makes what all runs share and nobody takes back.
        return getattr(self._lake, name)

    def create_branch(self, repository: str, name: str, source: str) -> str:
        effect = intended.branch_effect("create_branch", repository, name)
        self._intents.open(effect)
        head = self._lake.create_branch(repository, name, source)
        self._intents.done(effect, head)
        return head

    def delete_branch(self, repository: str, name: str) -> None:
        with self._intents.intended(intended.branch_effect("delete_branch", repository, name)):
            self._lake.delete_branch(repository, name)

    def put(self, uri: LakeUri, data: bytes, content_type: str = "application/octet-stream") -> None:
        self._intents.open(_upload(uri.repository, uri.ref))
        self._lake.put(uri, data, content_type)

    def copy(self, source: LakeUri, destination: LakeUri) -> None:
        self._intents.open(_upload(destination.repository, destination.ref))
        cast(Any, self._lake).copy(source, destination)

    def delete(self, uri: LakeUri) -> None:
        self.delete_many(uri.repository, uri.ref, [uri.path])

    def delete_many(self, repository: str, branch: str, paths: Sequence[str]) -> None:
        if paths:
            self._intents.open(_upload(repository, branch))
            self._lake.delete_many(repository, branch, paths)

    def commit(self, repository: str, branch: str, message: str, metadata: Mapping[str, str]) -> str:
        effect = intended.commit(repository, branch, message)
        self._intents.open(effect)
        made = self._lake.commit(repository, branch, message, metadata)
        self._intents.done(_upload(repository, branch), made)
        self._intents.done(effect, made)
        return made

    def merge(self, repository: str, source: str, destination: str, message: str, metadata: Mapping[str, str]) -> str:
        effect = intended.merge(repository, source, destination, metadata)
        self._intents.open(effect)
        # lakeFS answers all but one of those who merge into a branch at once with "try again", until they give up.
        with exclusive(f"merge into {effect.target}", self._intents.ledger, self._locks):
            made = self._lake.merge(repository, source, destination, message, metadata)
        self._intents.done(effect, made)
        return made

    def tag(self, repository: str, name: str, ref: str) -> None:
        with self._intents.intended(intended.tag(repository, name)):
            self._lake.tag(repository, name, ref)


class _RecordedChannel:
    def __init__(self, channel: ReleaseChannel, intents: Intents) -> None:
        self._channel = channel
        self._intents = intents

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    def publication(self, pipeline: str) -> Any:
        return self._channel.publication(pipeline)

    def read(self, path: str) -> bytes:
        return self._channel.read(path)

    def publish(self, state: ChannelState, artifacts: Mapping[str, Artifact] = _NONE, reason: str = "") -> ChannelState:
        effect = intended.publish(state)
        self._intents.open(effect)
        return self._published(effect, self._channel.publish(state, artifacts, reason))

    def rollback(self, pipeline: str, release: str, reason: str) -> ChannelState:
        effect = intended.roll_back(pipeline, release)
        self._intents.open(effect)
        return self._published(effect, self._channel.rollback(pipeline, release, reason))

    def _published(self, effect: Effect, state: ChannelState) -> ChannelState:
        self._intents.done(effect, f"serial {state.serial}")
        return state


def _upload(repository: str, branch: str) -> Effect:
    return intended.branch_effect("upload", repository, branch)
