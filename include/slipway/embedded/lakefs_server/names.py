"""Which names of repositories, branches, tags and objects are valid (lakeFS's rules, and stricter on paths)."""

from __future__ import annotations

import re

from slipway.embedded.lakefs_server.refusal import invalid

_REPOSITORY = re.compile(r"[a-z0-9][a-z0-9-]{2,62}")
_BRANCH = re.compile(r"\w[-\w]*", re.ASCII)
_TAG_FORBIDDEN = re.compile(r"[\x00-\x20\x7f~^:?*\[\\/@$]|\.\.")
_NAMESPACE = re.compile(r"[a-z][a-z0-9+.-]*://[^\s\x00]+")
_MAX_NAME = 256
_MAX_PATH_BYTES = 1024


def check_repository(name: str) -> str:
    """Return ``name``; 400 unless it is 3-63 of ``a-z 0-9 -``, not starting with ``-``."""
    if not _REPOSITORY.fullmatch(name):
        raise invalid(f"invalid repository name {name!r}: expected 3 to 63 characters of a-z, 0-9 and -")
    return name


def check_namespace(namespace: str) -> str:
    """Return the storage namespace; 400 unless it is a URI such as ``local://name``."""
    if not _NAMESPACE.fullmatch(namespace):
        raise invalid(f"invalid storage namespace {namespace!r}: expected a URI such as local://name")
    return namespace


def check_branch(name: str) -> str:
    """Return ``name``; 400 unless it is made of ``A-Z a-z 0-9 _ -`` and does not start with ``-``."""
    if not _BRANCH.fullmatch(name) or len(name) > _MAX_NAME:
        raise invalid(f"invalid branch name {name!r}: expected letters, digits, _ and -")
    return name


def check_tag(name: str) -> str:
    """Return ``name``; 400 for what git's reference rules, lakeFS's or a reference expression forbid."""
    bad = not name or len(name) > _MAX_NAME or _TAG_FORBIDDEN.search(name)
    if bad or name.startswith((".", "-")) or name.endswith((".", ".lock")):
        raise invalid(f"invalid tag name {name!r}")
    return name


def check_path(path: str) -> bytes:
    """Return an object's path as bytes; 400 for empty, too long, NUL, or a ``.`` or ``..`` segment.

    Paths never name files on this server's disk; the last two are refused so that no client that mirrors
    objects into a folder can be led out of it.
    """
    raw = path.encode()
    segments = raw.split(b"/")
    if not 1 <= len(raw) <= _MAX_PATH_BYTES:
        raise invalid(f"invalid path: expected 1 to {_MAX_PATH_BYTES} bytes, got {len(raw)}")
    if b"\0" in raw or b"." in segments or b".." in segments:
        raise invalid(f"invalid path {path!r}: NUL and the segments . and .. are refused")
    return raw
