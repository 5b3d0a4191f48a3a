"""Does an artifact fit this device? Compared before anything is downloaded, and again before anything is loaded."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from slipway.device.manifest import Manifest
from slipway.errors import IncompatibleError


@dataclass(frozen=True)
class Hardware:
    """What this device is: its target, CPU architecture (``uname -m``) and the one runtime it has."""

    target: str
    architecture: str
    runtime: str
    runtime_version: str


def this_hardware(target: str, runtime: str, runtime_version: str) -> Hardware:
    """The hardware this process runs on."""
    return Hardware(target, platform.machine(), runtime, runtime_version)


def require_announced_fit(announced: Mapping[str, object], hardware: Hardware) -> None:
    """Compare what the signed channel says of an artifact, before it is downloaded.

    Raises:
        IncompatibleError: target, architecture or runtime differ.
    """
    mine = {"target": hardware.target, "architecture": hardware.architecture, "runtime": hardware.runtime}
    for what, have in mine.items():
        if what in announced:
            _require(what, str(announced[what]), have)


def require_fit(manifest: Manifest, hardware: Hardware, pipeline: str) -> None:
    """Compare the manifest with this device, before the artifact is loaded.

    Raises:
        IncompatibleError: pipeline, target, architecture, runtime or the runtime's version differ.
    """
    _require("pipeline", manifest.pipeline, pipeline)
    _require("target", manifest.target, hardware.target)
    _require("architecture", manifest.architecture, hardware.architecture)
    _require("runtime", manifest.runtime, hardware.runtime)
    try:
        wanted = SpecifierSet(manifest.runtime_version)
    except InvalidSpecifier as error:
        raise IncompatibleError(
            f"expected a version specifier for {manifest.runtime}, got {manifest.runtime_version!r}; compile again"
        ) from error
    if not wanted.contains(hardware.runtime_version, prereleases=True):
        raise IncompatibleError(
            f"the artifact needs {manifest.runtime} {manifest.runtime_version}, this device has "
            f"{hardware.runtime_version}; update the device's runtime or compile for it"
        )


def _require(what: str, wanted: str, have: str) -> None:
    if wanted != have:
        raise IncompatibleError(
            f"the artifact is for {what} {wanted!r}, this device has {have!r}; compile the version for {have!r}"
        )
