"""Have the embedded lake collect what nothing refers to; lakeFS itself does so with a job of its own."""

from __future__ import annotations

from typing import Any

import httpx

from slipway.connections import LakeConnection
from slipway.errors import ConfigurationError, LakeError, UnavailableError

KEEP_SECONDS = 24 * 3600.0
"""As long as a staging address may be linked: what is younger may be on its way."""


def collect(
    lake: LakeConnection, *, older_than_seconds: float = KEEP_SECONDS, dry_run: bool = False
) -> list[dict[str, Any]]:
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
