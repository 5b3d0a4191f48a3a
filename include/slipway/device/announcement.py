"""Which change of version was reported last, so that a kill between a switch and its report loses no report."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from slipway.device.durable import write_durably
from slipway.device.order import ChannelOrder, is_version

_log = logging.getLogger(__name__)


class Announcement:
    """The last reported version and its release, kept in ``path``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._release, self.version = _read(path)

    def owed(self, order: ChannelOrder, running: str | None) -> bool:
        """Whether the version now running is still to be reported: it is new, or a new release asks for it."""
        asked_anew = running is not None and running == order.next and self._release != order.release
        return running != self.version or asked_anew

    def remember(self, release: str, version: str | None) -> None:
        """Call it once the report is in the spool; a disk that refuses only means one report too many."""
        self._release, self.version = release, version
        try:
            write_durably(self._path, json.dumps({"release": release, "version": version}).encode())
        except OSError as error:
            _log.warning("could not remember what was reported: %s", error.strerror)


def _read(path: Path) -> tuple[str | None, str | None]:
    try:
        value = json.loads(path.read_bytes())
        release, version = value["release"], value["version"]
    except (OSError, ValueError, KeyError, TypeError):
        return None, None
    return (release if isinstance(release, str) else None), (version if is_version(version) else None)
