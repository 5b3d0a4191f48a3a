"""The versions on this device's disk, and which of them it runs.

``versions/<version>/`` holds one complete version; ``installed.json`` names the one in use and the one before it,
and is replaced in one step. A kill at any point leaves either the old pair or the new pair, and at most some folder
that the next start removes.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from slipway.device.durable import file_digest, flush_file, flush_folder, write_durably
from slipway.device.manifest import Manifest, read_manifest
from slipway.device.order import is_version
from slipway.errors import DeviceError, IncompatibleError, UntrustedError

MANIFEST = "manifest.json"
GOLDEN = "golden.npz"
_INCOMING = ".incoming"

Tested = TypeVar("Tested")


@dataclass(frozen=True)
class Installed:
    """A complete version on disk."""

    version: str
    folder: Path
    manifest: Manifest


Fetch = Callable[[Path], None]
"""Brings every file of a version into an empty folder."""


class Installation:
    """What is installed under ``state``; one process at a time."""

    def __init__(self, state: Path) -> None:
        self._versions = state / "versions"
        self._pointer = state / "installed.json"
        try:
            self._versions.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DeviceError(f"expected a writable folder {self._versions}, got: {error.strerror}; free it") from error
        self.clean_up()

    def current(self) -> Installed | None:
        """The version in use; ``None`` if there is none or its files are damaged."""
        return self.kept(self._read_pointer()[0])

    def previous(self) -> Installed | None:
        """The version in use before, kept for rolling back."""
        return self.kept(self._read_pointer()[1])

    def kept(self, version: str | None) -> Installed | None:
        """A complete and undamaged version on disk."""
        if version is None:
            return None
        folder = self._versions / version
        try:
            return Installed(version, folder, _intact(folder))
        except (OSError, IncompatibleError, UntrustedError):
            return None

    def install(self, version: str, fetch: Fetch, check: Callable[[Path], Tested]) -> Tested:
        """Fetch a version, check it, switch to it, and keep the one used before.

        ``check`` gets the folder before the switch; what it raises leaves everything as it was. Returns its result.

        Raises:
            DeviceError: the disk is full or not writable.
            UntrustedError: the artifact is not the one its manifest names.
        """
        incoming = self._versions / f"{_INCOMING}-{version}"
        try:
            self._discard(incoming)
            incoming.mkdir()
            fetch(incoming)
            _intact(incoming)
            tested = check(incoming)
            self._adopt(incoming, version)
            self._switch(version)
        except OSError as error:
            raise DeviceError(f"could not install version {version} ({error.strerror}); free the disk") from error
        finally:
            shutil.rmtree(incoming, ignore_errors=True)
        return tested

    def rollback(self, version: str, check: Callable[[Path], Tested]) -> Tested:
        """Switch to a version that is still on disk; nothing is downloaded.

        Raises:
            DeviceError: that version is not on disk, or the disk is not writable.
        """
        kept = self.kept(version)
        if kept is None:
            raise DeviceError(f"expected version {version} on this device's disk, it is not; install it")
        tested = check(kept.folder)
        self._try_switch(version)
        return tested

    def clear(self) -> None:
        """Run nothing; the version in use until now stays on disk."""
        self._try_switch(None)

    def clean_up(self) -> None:
        """Remove what neither runs nor is kept; a failure to remove is not an error."""
        keep = {name for name in self._read_pointer() if name is not None}
        for folder in self._versions.iterdir():
            if folder.name not in keep:
                shutil.rmtree(folder, ignore_errors=True)

    def _adopt(self, incoming: Path, version: str) -> None:
        for file in incoming.iterdir():
            flush_file(file)
        flush_folder(incoming)
        final = self._versions / version
        self._discard(final)
        incoming.rename(final)
        flush_folder(self._versions)

    def _try_switch(self, version: str | None) -> None:
        try:
            self._switch(version)
        except OSError as error:
            raise DeviceError(f"could not switch to version {version} ({error.strerror}); free the disk") from error

    def _switch(self, version: str | None) -> None:
        current, previous = self._read_pointer()
        if current not in {version, None}:
            previous = current
        if previous == version:
            previous = None
        write_durably(self._pointer, json.dumps({"current": version, "previous": previous}).encode())
        self.clean_up()

    def _discard(self, folder: Path) -> None:
        if folder.exists():
            shutil.rmtree(folder)

    def _read_pointer(self) -> tuple[str | None, str | None]:
        try:
            value = json.loads(self._pointer.read_bytes())
            current, previous = value["current"], value["previous"]
        except FileNotFoundError:
            return None, None
        except (OSError, ValueError, KeyError, TypeError):
            # A damaged pointer is like a new device: the channel says what to run.
            return None, None
        return (current if is_version(current) else None), (previous if is_version(previous) else None)


def _intact(folder: Path) -> Manifest:
    manifest = read_manifest(folder / MANIFEST)
    artifact = folder / manifest.artifact
    if artifact.stat().st_size != manifest.size or file_digest(artifact) != manifest.sha256:
        raise UntrustedError(f"{manifest.artifact} is not the file its manifest names; compile or publish it again")
    if not (folder / GOLDEN).is_file():
        raise UntrustedError(f"expected {GOLDEN} beside the artifact, it is missing; publish it again")
    return manifest
