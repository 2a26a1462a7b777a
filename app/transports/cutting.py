"""Cutting a connection: what makes a client reconnect instead of taking what it got for the whole (P3.9, P3.10)."""

from __future__ import annotations

import asyncio
from typing import Any, Final

EXTENSION: Final = "runcast.abort"
"""The ASGI extension under which our server's protocols offer to abort their transport."""


async def cut(scope: Any) -> None:
    """Reset the connection, where the server lets us; elsewhere the response just stays unfinished."""
    abort = (scope.get("extensions") or {}).get(EXTENSION)
    if abort is not None:
        abort()
        await asyncio.sleep(0)
