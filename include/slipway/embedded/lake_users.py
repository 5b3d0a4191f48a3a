"""Keys of the embedded lake besides the stack's own, which is an admin's: a file that its owner may write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from slipway.errors import ConfigurationError


def lake_users(path: Path) -> list[dict[str, Any]]:
    """The users in ``path``, none where there is no such file; the lake's server looks at what each of them says.

    Raises:
        ConfigurationError: others may read the file, or it is no JSON list.
    """
    try:
        mode, text = path.stat().st_mode, path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    if mode & 0o077:
        raise ConfigurationError(f"{path} holds secret keys, but others may read it; run: chmod 600 {path}")
    try:
        users = json.loads(text)
    except ValueError as error:
        raise ConfigurationError(f"{path}: expected JSON, {error}") from error
    if not isinstance(users, list):
        raise ConfigurationError(
            f"{path}: expected a list of users, came {type(users).__name__}; see docs/production.md"
        )
    return users
