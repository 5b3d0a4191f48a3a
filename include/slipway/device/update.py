"""Bring one version onto this device: fetch, verify, compare, self-test, switch; or leave everything as it was."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from slipway.device.channel import Channel, SignedFile
from slipway.device.compatibility import Hardware, require_announced_fit, require_fit
from slipway.device.installation import GOLDEN, MANIFEST, Installation, Installed
from slipway.device.manifest import Manifest, read_manifest
from slipway.device.runtime import Runtime, Session
from slipway.device.selftest import golden_agreement, load_for, require_agreement
from slipway.errors import DeviceError, IncompatibleError, SlipwayError, UntrustedError

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Running:
    """An installed version with its loaded model."""

    installed: Installed
    session: Session

    @property
    def version(self) -> str:
        return self.installed.version


@dataclass(frozen=True)
class _Tested:
    session: Session
    agreement: float


class VersionSwitch:
    """Changes which version this device runs.

    Args:
        pipeline: whose versions.
        channel: where signed files come from.
        installation: where they live on this device.
        runtime: what loads them.
        hardware: what they must fit.
    """

    def __init__(
        self, pipeline: str, channel: Channel, installation: Installation, runtime: Runtime, hardware: Hardware
    ) -> None:
        self._pipeline = pipeline
        self._channel = channel
        self._installation = installation
        self._runtime = runtime
        self._hardware = hardware

    def resume(self) -> Running | None:
        """Load the version in use; ``None`` if there is none or it no longer loads (the channel then heals it)."""
        current = self._installation.current()
        if current is None:
            return None
        try:
            require_fit(current.manifest, self._hardware, self._pipeline)
            return Running(current, load_for(current.manifest, current.folder, self._runtime))
        except SlipwayError as error:
            _log.warning("version %s on this device no longer loads: %s", current.version, error)
            return None

    def goes_back(self, wanted: str | None, running: str) -> bool:
        """Whether going from ``running`` to ``wanted`` is a rollback."""
        if wanted is None:
            return True
        if wanted.isdecimal() and running.isdecimal():
            return int(wanted) < int(running)
        previous = self._installation.previous()
        return previous is not None and previous.version == wanted

    def bring(self, version: str) -> tuple[Running, float]:
        """Run ``version``; returns it with its agreement on the golden batch, 0..1.

        Raises:
            UnavailableError: the channel did not answer.
            UntrustedError: something does not verify.
            IncompatibleError: it is not made for this device.
            SelfTestError: it answers otherwise than it should on this device.
            DeviceError: this device could not write it.
        """
        if self._is_kept_as_signed(version):
            tested = self._installation.rollback(version, self._self_test)
        else:
            tested = self._installation.install(version, lambda folder: self._fetch(version, folder), self._self_test)
        current = self._installation.current()
        if current is None or current.version != version:
            raise DeviceError(f"expected to run version {version} after the switch; this device's disk is damaged")
        return Running(current, tested.session), tested.agreement

    def stop(self) -> None:
        """Run nothing; raises DeviceError if the disk is not writable."""
        self._installation.clear()

    def _is_kept_as_signed(self, version: str) -> bool:
        kept = self._installation.kept(version)
        if kept is None:
            return False
        signed = self._channel.find(self._path(version, kept.manifest.artifact))
        # A channel may have forgotten an old version that this device verified when it came.
        return signed is None or signed.sha256 == kept.manifest.sha256

    def _path(self, version: str, file: str) -> str:
        return f"{self._pipeline}/{version}/{self._hardware.target}/{file}"

    def _fetch(self, version: str, folder: Path) -> None:
        announced = self._channel.find(self._path(version, MANIFEST))
        if announced is None:
            raise IncompatibleError(
                f"version {version} has no artifact for target {self._hardware.target!r}; compile it for that target"
            )
        require_announced_fit(announced.announced, self._hardware)
        self._channel.download(announced.path, folder / MANIFEST)
        manifest = read_manifest(folder / MANIFEST)
        require_fit(manifest, self._hardware, self._pipeline)
        artifact = self._signed_artifact(version, manifest)
        self._channel.download(artifact.path, folder / manifest.artifact)
        self._channel.download(f"{self._pipeline}/{version}/{GOLDEN}", folder / GOLDEN)

    def _signed_artifact(self, version: str, manifest: Manifest) -> SignedFile:
        artifact = self._channel.find(self._path(version, manifest.artifact))
        if artifact is None or artifact.sha256 != manifest.sha256:
            raise UntrustedError(
                f"the channel signs another {manifest.artifact} for version {version} than the manifest; publish again"
            )
        require_announced_fit(artifact.announced, self._hardware)
        return artifact

    def _self_test(self, folder: Path) -> _Tested:
        manifest = read_manifest(folder / MANIFEST)
        require_fit(manifest, self._hardware, self._pipeline)
        session = load_for(manifest, folder, self._runtime)
        agreement = golden_agreement(session, folder / GOLDEN)
        require_agreement(agreement, manifest)
        return _Tested(session, agreement)
