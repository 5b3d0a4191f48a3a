"""What the lake says about its objects and commits, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ObjectInfo:
    """An object: ``path`` in its repository, ``size`` in bytes, ``checksum`` of its content (MD5 hex or store ETag)."""

    path: str
    size: int
    checksum: str


@dataclass(frozen=True)
class CommitInfo:
    """A commit; ``parents`` has the destination first in a merge; ``created`` is unix seconds."""

    id: str
    message: str
    metadata: Mapping[str, str]
    parents: tuple[str, ...]
    created: int
