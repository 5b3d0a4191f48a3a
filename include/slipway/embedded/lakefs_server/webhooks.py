"""Sending one webhook: bounded in time and in what is read, to this machine unless configured otherwise."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Mapping, Set

import httpx

from slipway.embedded.lakefs_server.actions import WebhookProperties

_MAX_ANSWER_BYTES = 64 * 2**10


def send(target: WebhookProperties, event: Mapping[str, object], hosts: Set[str], seconds: float) -> tuple[bool, str]:
    """POST ``event`` as JSON: (whether a 2xx came within ``seconds``, what was answered or went wrong)."""
    host = httpx.URL(target.url).host
    if not (_is_loopback(host) or host in hosts):
        return False, f"{host} is not this machine; allow it with --hook-host {host}"
    try:
        return asyncio.run(asyncio.wait_for(_post(target, event), min(target.timeout, seconds)))
    except TimeoutError:
        return False, f"no answer within {min(target.timeout, seconds):g} s"
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return False, f"{type(error).__name__}: {error}"


async def _post(target: WebhookProperties, event: Mapping[str, object]) -> tuple[bool, str]:
    url = httpx.URL(target.url).copy_merge_params(dict(target.query_params))
    # wait_for bounds the whole; redirects would lead past the check of the host
    async with (
        httpx.AsyncClient(timeout=None, trust_env=False, follow_redirects=False) as client,  # noqa: S113
        client.stream("POST", url, headers=dict(target.headers), json=event) as answer,
    ):
        text = bytearray()
        async for piece in answer.aiter_bytes():
            text += piece
            if len(text) >= _MAX_ANSWER_BYTES:
                break
    shown = bytes(text[:_MAX_ANSWER_BYTES]).decode(errors="replace")
    return answer.is_success, f"{answer.status_code} {answer.reason_phrase}\n{shown}"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
