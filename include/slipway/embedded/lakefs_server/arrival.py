"""Bodies of requests as they arrive, from clients that may be slow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.requests import Request

from slipway.embedded.lakefs_server.refusal import RefusalError

STALL_SECONDS = 60.0
"""How long a client may send nothing in the middle of a body, unless the server was started with another limit."""
_DRAINED_BYTES = 256 * 2**20


async def pieces(request: Request) -> AsyncIterator[bytes]:
    """Yield a body piece by piece; 408 when nothing comes for the server's ``stall_seconds``."""
    limit: float = request.app.state.server.stall_seconds
    arriving = aiter(request.stream())
    while True:
        try:
            async with asyncio.timeout(limit):
                piece = await anext(arriving)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise RefusalError(408, f"nothing of the request's body came for {limit:g} s; send it again") from error
        yield piece


async def drain(arriving: AsyncIterator[bytes]) -> None:
    """Read on without keeping anything: a client that is still sending then hears why it was refused."""
    left = _DRAINED_BYTES
    async for piece in arriving:
        left -= len(piece)
        if left < 0:
            return
