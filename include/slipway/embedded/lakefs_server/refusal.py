"""What the server refuses, with the HTTP status lakeFS gives it."""

from __future__ import annotations

from typing import Any

from slipway.errors import LakeError


class RefusalError(LakeError):
    """A request the protocol answers with ``status``; ``body`` replaces the usual ``{"message": …}``."""

    def __init__(self, status: int, message: str, body: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = body if body is not None else {"message": message}


def unauthenticated() -> RefusalError:
    """401: no known user asks."""
    return RefusalError(401, "error authenticating request")


def invalid(message: str) -> RefusalError:
    """400: the request's values are wrong."""
    return RefusalError(400, message)


def denied(message: str) -> RefusalError:
    """403: a rule forbids it."""
    return RefusalError(403, message)


def missing(kind: str, name: str) -> RefusalError:
    """404: no ``kind`` of that name."""
    return RefusalError(404, f"{kind} not found: {name}")


def taken(kind: str, name: str) -> RefusalError:
    """409: the name is in use."""
    return RefusalError(409, f"{kind} already exists: {name}")


def gone(sha256: str) -> RefusalError:
    """410: the object's data is no longer there."""
    return RefusalError(410, f"the data of this object is gone: {sha256}; upload it again")


def no_changes(action: str) -> RefusalError:
    """400: nothing would change (the text is part of the protocol)."""
    return RefusalError(400, f"{action}: no changes")


def dirty_branch(branch: str) -> RefusalError:
    """400: uncommitted changes stand in the way (the text is part of the protocol)."""
    return RefusalError(400, f"dirty branch: {branch} has uncommitted changes; commit or reset them first")
