"""The channel's four signed metadata files, read with their signatures checked and written in a safe order.

A change is written as ``N.targets.json``, then ``N.snapshot.json``, then ``timestamp.json``. Only the last one makes
it visible, by an atomic rename: killed anywhere before, devices see the old state, and the next attempt writes the
same numbers again, which nothing that is published refers to.

Lifetimes (a device refuses metadata older than this): timestamp 7 days, snapshot and targets 90 days, root 365 days.
``renew`` signs a role again once less than half of its lifetime is left (the timestamp: less than 4 days).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, cast

from securesystemslib.exceptions import UnverifiedSignatureError, VerificationError
from tuf.api.exceptions import RepositoryError

# The library re-exports these on purpose, but not in the form that strict typing asks for.
from tuf.api.metadata import Metadata, MetaFile, Root, Signed, Snapshot, Targets, Timestamp
from tuf.api.serialization import DeserializationError

from slipway.errors import ChannelError
from slipway.release.channel_files import Files
from slipway.release.channel_keys import ROLES, Role, RoleKeys

S = TypeVar("S", Root, Timestamp, Snapshot, Targets)
Clock = Callable[[], dt.datetime]

LIFETIME: dict[Role, dt.timedelta] = {
    "root": dt.timedelta(days=365),
    "targets": dt.timedelta(days=90),
    "snapshot": dt.timedelta(days=90),
    "timestamp": dt.timedelta(days=7),
}
RENEW_WHEN_LEFT: dict[Role, dt.timedelta] = {
    "root": dt.timedelta(days=180),
    "targets": dt.timedelta(days=45),
    "snapshot": dt.timedelta(days=45),
    "timestamp": dt.timedelta(days=4),
}


@dataclass(frozen=True)
class SignedSet:
    """One consistent view of the repository, every signature checked against the channel's own keys."""

    timestamp: Metadata[Timestamp]
    snapshot: Metadata[Snapshot]
    targets: Metadata[Targets]


class MetadataStore:
    """Reads, signs and writes the metadata. The caller holds the channel's lock while it writes."""

    def __init__(self, files: Files, keys: RoleKeys, clock: Clock) -> None:
        self._files = files
        self._keys = keys
        self._clock = clock

    def create(self) -> None:
        """Sign root 1 and an empty first set, or what is still missing of them.

        Raises ChannelError when something was published before and is gone, or the keys are not the trusted ones.
        """
        started = self._files.read("metadata/timestamp.json") is not None
        if self._keys.published_version() and not started:
            raise ChannelError("metadata/timestamp.json is gone, but was published; restore the repository's backup")
        if self._files.read("metadata/1.root.json") is None:
            self._write_root(Root(version=1, consistent_snapshot=True))
        self._check_keys(self._newest_root().signed)
        if started:
            return
        first = SignedSet(Metadata(Timestamp()), Metadata(Snapshot()), Metadata(Targets()))
        for part in (first.timestamp, first.snapshot, first.targets):
            part.signed.version = 0  # committing counts one up
        self.commit(first)

    def load(self) -> SignedSet | None:
        """The published set, ``None`` before ``create``.

        Raises ChannelError when a file is missing, not signed with the channel's keys, or older than what was
        published before: signing on top of it would vouch for someone else's content.
        """
        raw = self._files.read("metadata/timestamp.json")
        if raw is None:
            return None
        timestamp = self._verified(Timestamp, "timestamp", raw)
        if timestamp.signed.version < self._keys.published_version():
            raise ChannelError(
                f"the repository is older (timestamp {timestamp.signed.version}) than what was published "
                f"({self._keys.published_version()}); restore its newest copy"
            )
        meta = timestamp.signed.snapshot_meta
        snapshot = self._verified(Snapshot, "snapshot", self._referenced("snapshot", meta))
        meta = snapshot.signed.meta["targets.json"]
        targets = self._verified(Targets, "targets", self._referenced("targets", meta))
        return SignedSet(timestamp, snapshot, targets)

    def commit(self, signed: SignedSet, *, through: Role = "targets") -> None:
        """Sign the set with the next version numbers and publish it.

        ``through`` says how deep the change goes: ``targets`` (all three), ``snapshot`` or ``timestamp`` alone.
        """
        if through == "targets":
            meta = self._write(signed.targets, "targets")
            signed.snapshot.signed.meta["targets.json"] = meta
        if through in ("targets", "snapshot"):
            signed.timestamp.signed.snapshot_meta = self._write(signed.snapshot, "snapshot")
        self._write(signed.timestamp, "timestamp")
        self._keys.remember(signed.timestamp.signed.version)

    def renew(self) -> bool:
        """Sign again what nears its end of life; returns whether anything was.

        A root that nears its end while its key is kept elsewhere is left alone until it has expired in earnest.
        """
        renewed = self._renew_root()
        signed = self.load()
        if signed is None:
            raise ChannelError("the channel has no metadata yet; initialise it first")
        depth: list[tuple[Role, Signed]] = [
            ("targets", signed.targets.signed),
            ("snapshot", signed.snapshot.signed),
            ("timestamp", signed.timestamp.signed),
        ]
        for role, content in depth:
            if self._ends_soon(role, content):
                self.commit(signed, through=role)
                return True
        return renewed

    def _renew_root(self) -> bool:
        metadata = self._newest_root()
        root = metadata.signed
        if not self._ends_soon("root", root):
            return False
        if not self._keys.has("root"):
            if root.is_expired(self._clock()):
                raise ChannelError("the root metadata has expired; bring root.pem back to the keys folder to renew it")
            return False
        self._check_signature(metadata, "root")
        root.version += 1
        self._write_root(root)
        return True

    def _newest_root(self) -> Metadata[Root]:
        version = 1
        while self._files.read(f"metadata/{version + 1}.root.json") is not None:
            version += 1
        return self._parsed(Root, "root", self._files.read(f"metadata/{version}.root.json"))

    def _check_keys(self, root: Root) -> None:
        for role in ROLES[1:]:
            if self._keys.signer(role).public_key.keyid not in root.roles[role].keyids:
                raise ChannelError(
                    f"the channel's {role} key is not the one devices trust (root {root.version} names another); "
                    "restore the keys folder that belongs to this repository"
                )

    def _write_root(self, root: Root) -> None:
        for role in ROLES:
            root.add_key(self._keys.signer(role).public_key, role)
        root.expires = self._expiry("root")
        metadata = Metadata(root)
        metadata.sign(self._keys.signer("root"))
        self._files.write(f"metadata/{root.version}.root.json", metadata.to_bytes())

    def _write(self, metadata: Metadata[S], role: Role) -> MetaFile:
        metadata.signed.version += 1
        metadata.signed.expires = self._expiry(role)
        metadata.sign(self._keys.signer(role))
        content = metadata.to_bytes()
        name = "timestamp.json" if role == "timestamp" else f"{metadata.signed.version}.{role}.json"
        self._files.write(f"metadata/{name}", content)
        return MetaFile.from_data(metadata.signed.version, content, ["sha256"])

    def _referenced(self, role: Role, meta: MetaFile) -> bytes | None:
        raw = self._files.read(f"metadata/{meta.version}.{role}.json")
        if raw is not None:
            try:
                meta.verify_length_and_hashes(raw)
            except RepositoryError as error:
                raise ChannelError(f"{meta.version}.{role}.json was changed; restore the backup") from error
        return raw

    def _verified(self, kind: type[S], role: Role, raw: bytes | None) -> Metadata[S]:
        metadata = self._parsed(kind, role, raw)
        self._check_signature(metadata, role)
        return metadata

    def _check_signature(self, metadata: Metadata[S], role: Role) -> None:
        key = self._keys.signer(role).public_key
        signature = metadata.signatures.get(key.keyid)
        if signature is None:
            raise ChannelError(f"{role} metadata is not signed with the channel's {role} key; restore the backup")
        try:
            key.verify_signature(signature, metadata.signed_bytes)
        except (UnverifiedSignatureError, VerificationError) as error:
            raise ChannelError(f"the signature of the {role} metadata is wrong; restore the backup") from error

    def _parsed(self, kind: type[S], role: Role, raw: bytes | None) -> Metadata[S]:
        if raw is None:
            raise ChannelError(f"the channel's {role} metadata is missing; restore the repository's backup")
        try:
            metadata = cast("Metadata[S]", Metadata.from_bytes(raw))
        except DeserializationError as error:
            raise ChannelError(f"the channel's {role} metadata is not readable; restore the backup") from error
        if not isinstance(metadata.signed, kind):
            raise ChannelError(f"expected {role} metadata, got {metadata.signed.type}; restore the backup")
        return metadata

    def _ends_soon(self, role: Role, signed: Signed) -> bool:
        return signed.expires - self._clock() < RENEW_WHEN_LEFT[role]

    def _expiry(self, role: Role) -> dt.datetime:
        return (self._clock() + LIFETIME[role]).replace(microsecond=0)
