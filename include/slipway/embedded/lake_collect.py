"""``slipway lake gc``: have the running embedded lake collect what nothing refers to."""

from __future__ import annotations

from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from slipway.connections import LakeConnection
from slipway.errors import ConfigurationError, LakeError, UnavailableError

_COLUMNS = ("commits", "nodes", "uploads", "objects", "bytes", "seconds", "longest_hold_ms")


def collect(lake: LakeConnection, *, older_than_seconds: float, dry_run: bool) -> list[dict[str, Any]]:
    """Ask the server to collect; what went (with ``dry_run``: would go), by repository.

    Raises ConfigurationError if the server is lakeFS itself, UnavailableError if it does not answer, LakeError if it
    refuses.
    """
    body = {"older_than_seconds": older_than_seconds, "dry_run": dry_run}
    try:
        answer = httpx.post(
            f"{lake.endpoint}/slipway/v1/gc", json=body, auth=(lake.access_key, lake.secret_key),
            timeout=httpx.Timeout(10, read=None), trust_env=False,
        )  # fmt: skip
    except httpx.TransportError as error:
        raise UnavailableError(f"expected the lake at {lake.endpoint}: {error}; start it with `make up`") from error
    if answer.status_code in (404, 405) or "json" not in answer.headers.get("content-type", ""):
        raise ConfigurationError(
            f"{lake.endpoint} is not the embedded lake; lakeFS collects with its own garbage-collection job"
        )
    if answer.is_error:
        raise LakeError(f"the lake at {lake.endpoint} did not collect: {answer.status_code} {answer.text}")
    return list(answer.json()["repositories"])


def show(found: list[dict[str, Any]], console: Console, *, dry_run: bool) -> None:
    """Print what ``collect`` returned."""
    table = Table("repository", *_COLUMNS, title="would go" if dry_run else "collected")
    for one in found:
        table.add_row(one["repository"], *(f"{one[name]:,}" for name in _COLUMNS))
    console.print(table)
