"""A device's state folder in a few lines, without touching it."""

from __future__ import annotations

import json
from pathlib import Path

from slipway.errors import ConfigurationError


def describe(state: Path) -> str:
    """Id, version in use, version kept, and telemetry still to be posted.

    Raises:
        ConfigurationError: there is no device in that folder.
    """
    try:
        device_id = (state / "device_id").read_text()
    except OSError as error:
        raise ConfigurationError(f"expected a device's state folder, {state} is none; give --state") from error
    pointer = state / "installed.json"
    installed = json.loads(pointer.read_text()) if pointer.exists() else {"current": None, "previous": None}
    waiting = len(list((state / "spool").glob("*.json")))
    lines = {
        "device": device_id,
        "runs": installed["current"] or "nothing",
        "keeps": installed["previous"] or "nothing",
        "telemetry waiting": f"{waiting} batches",
    }
    return "\n".join(f"{name + ':':<19}{value}" for name, value in lines.items())
