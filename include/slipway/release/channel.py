"""The release channel: a TUF repository on disk that tells every device which version to run.

Devices trust nothing but the root they were provisioned with; everything here is signed content:

* ``<pipeline>/channel.json`` is a target whose content devices obey (``ChannelState``);
* artifacts are targets whose signed ``custom`` names pipeline, version, target, architecture and runtime.

Only the versions a channel still names keep their entries in the metadata, so it does not grow with every release;
the files themselves stay, named by their hash. See ``channel_metadata`` for lifetimes and for what a kill leaves.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import TargetFile

from slipway.connections import ChannelConnection
from slipway.errors import ChannelError, ReleaseError
from slipway.release.channel_files import Files, LocalFiles, exclusive
from slipway.release.channel_keys import RoleKeys
from slipway.release.channel_metadata import Clock, MetadataStore, SignedSet
from slipway.release.channel_state import Artifact, ChannelState, Publication

_SEGMENT = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_PATH = re.compile(rf"{_SEGMENT}(/{_SEGMENT})*")
_NONE: Mapping[str, Artifact] = MappingProxyType({})


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class Channel:
    """One TUF repository for all pipelines. Threads and processes may share it; writers take turns.

    ``files`` stands for the repository folder of the connection (object storage would be another adapter).
    """

    def __init__(self, connection: ChannelConnection, *, files: Files | None = None, clock: Clock = _now) -> None:
        keys = Path(connection.keys)
        self._files = files or LocalFiles(Path(connection.repository))
        self._keys = RoleKeys(LocalFiles(keys, file_mode=0o600, folder_mode=0o700))
        self._metadata = MetadataStore(self._files, self._keys, clock)
        self._lock = keys / ".lock"
        self._key_folder = keys
        self._clock = clock

    def initialise(self) -> None:
        """Make keys, root 1 and an empty signed set where they are missing; harmless when they are not.

        Raises ChannelError when devices may already trust keys that are gone.
        """
        with self._exclusive():
            if self._files.read("metadata/1.root.json") is None:
                self._keys.create_missing()
            self._metadata.create()

    def root(self) -> bytes:
        """Root 1, the bytes a device is provisioned with."""
        content = self._files.read("metadata/1.root.json")
        if content is None:
            raise ChannelError("the channel has no root yet; initialise it first")
        return content

    def state(self, pipeline: str) -> ChannelState | None:
        """What the pipeline's devices obey now; ``None`` before its first release."""
        published = self.publication(pipeline)
        return published.state if published else None

    def publication(self, pipeline: str) -> Publication | None:
        """The published state with its time and reason; raises ChannelError when something does not verify."""
        return self._publication(self._load(), pipeline)

    def read(self, path: str) -> bytes:
        """A published target's content; raises ChannelError when it is not published or does not verify."""
        target = self._load().targets.signed.targets.get(path)
        if target is None:
            raise ChannelError(f"the channel publishes no {path}; prepare the release first")
        return self._content(target)

    def publish(self, state: ChannelState, artifacts: Mapping[str, Artifact] = _NONE, reason: str = "") -> ChannelState:
        """Make ``state`` what devices obey and ``artifacts`` (target path -> file) downloadable.

        Publishing what is published already signs nothing. The serial of the argument is ignored; the returned state
        has the one that was given out. Killed anywhere, the old state stays valid and a retry converges.

        Raises ChannelError for an artifact outside ``<pipeline>/``, of a version the state does not name, or whose
        bytes differ from those published for that version before.
        """
        with self._exclusive():
            return self._publish(self._load(), state, artifacts, reason)

    def rollback(self, pipeline: str, release: str, reason: str) -> ChannelState:
        """Send every device of the pipeline back to ``current``; a repeat returns the state as it is.

        Raises ReleaseError when the channel is not in that release, or the release is completed.
        """
        with self._exclusive():
            signed = self._load()
            published = self._publication(signed, pipeline)
            if published is None or published.state.release != release:
                running = published.state.release if published else "no release"
                raise ReleaseError(f"cannot roll back {release}: the channel of {pipeline} is in {running}")
            state = published.state
            if state.completed:
                raise ReleaseError(f"{release} is completed; to leave it, start a release of the earlier version")
            back = state.model_copy(update={"next": None, "percent": 0})
            return self._publish(signed, back, _NONE, reason)

    def refresh_timestamp(self) -> bool:
        """Sign again what expires soon: the timestamp (7 days), and the longer-lived roles in their turn.

        Cheap when nothing is due; call it at least daily. Returns whether something was signed.
        """
        with self._exclusive():
            return self._metadata.renew()

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        with exclusive(self._lock):
            self._key_folder.chmod(0o700)
            yield

    def _load(self) -> SignedSet:
        signed = self._metadata.load()
        if signed is None:
            raise ChannelError("the channel has no metadata yet; initialise it first")
        return signed

    def _publish(
        self, signed: SignedSet, state: ChannelState, artifacts: Mapping[str, Artifact], reason: str
    ) -> ChannelState:
        targets = signed.targets.signed.targets
        wanted = {path: _target(state, path, artifact) for path, artifact in artifacts.items()}
        for path, target in wanted.items():
            if path in targets and targets[path].hashes != target.hashes:
                raise ChannelError(f"{path} is published with other bytes; register the new bytes as a new version")
            self._write_target(target, artifacts[path].content)
        published = self._publication(signed, state.pipeline)
        if published and published.state.says_the_same_as(state):
            if all(targets.get(path) == target for path, target in wanted.items()):
                return published.state
            numbered, channel = published.state, targets[_channel_path(state.pipeline)]
        else:
            numbered = state.model_copy(update={"serial": published.state.serial + 1 if published else 1})
            channel = self._channel_target(numbered, reason)
        self._write_target(channel, numbered.content())
        kept = {path: target for path, target in targets.items() if _still_named(path, target, numbered)}
        signed.targets.signed.targets = {**kept, **wanted, channel.path: channel}
        self._metadata.commit(signed)
        return numbered

    def _channel_target(self, state: ChannelState, reason: str) -> TargetFile:
        # Whole milliseconds: the canonical form that is signed knows no fractions.
        now = int(self._clock().timestamp() * 1000)
        custom = {"pipeline": state.pipeline, "published_at_ms": now, "reason": reason[:500]}
        return _file(_channel_path(state.pipeline), state.content(), custom)

    def _publication(self, signed: SignedSet, pipeline: str) -> Publication | None:
        target = signed.targets.signed.targets.get(_channel_path(pipeline))
        if target is None:
            return None
        state = ChannelState.parse(self._content(target))
        return Publication(state, target.custom["published_at_ms"] / 1000, str(target.custom["reason"]))

    def _write_target(self, target: TargetFile, content: bytes) -> None:
        path = _stored_path(target)
        if self._files.read(path) != content:
            self._files.write(path, content)

    def _content(self, target: TargetFile) -> bytes:
        content = self._files.read(_stored_path(target))
        if content is None:
            raise ChannelError(f"{target.path} is published but its file is gone; publish the release again")
        try:
            target.verify_length_and_hashes(content)
        except RepositoryError as error:
            raise ChannelError(f"{target.path} on disk is not what was signed; restore the backup") from error
        return content


def _channel_path(pipeline: str) -> str:
    return f"{pipeline}/channel.json"


def _stored_path(target: TargetFile) -> str:
    folder, _, name = target.path.rpartition("/")
    return f"targets/{folder}/{target.hashes['sha256']}.{name}"


def _file(path: str, content: bytes, custom: Mapping[str, object]) -> TargetFile:
    target = TargetFile.from_data(path, content, ["sha256"])
    target.unrecognized_fields["custom"] = dict(custom)
    return target


def _target(state: ChannelState, path: str, artifact: Artifact) -> TargetFile:
    version = artifact.custom.get("version")
    if not _PATH.fullmatch(path) or not path.startswith(f"{state.pipeline}/") or path == _channel_path(state.pipeline):
        raise ChannelError(f"an artifact of {state.pipeline} must lie at {state.pipeline}/<version>/…, got {path!r}")
    if version is None or version not in (state.current, state.next):
        raise ChannelError(f"{path} is of version {version}; the state names {state.current} and {state.next}")
    return _file(path, artifact.content, artifact.custom)


def _still_named(path: str, target: TargetFile, state: ChannelState) -> bool:
    """Whether devices can still ask for it: other pipelines' files, and versions of this one the state names."""
    if not path.startswith(f"{state.pipeline}/"):
        return True
    custom = target.custom or {}
    return custom.get("version") in {state.current, state.next} - {None}
