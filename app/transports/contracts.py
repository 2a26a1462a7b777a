"""The contracts beside the OpenAPI document: `/schema/asyncapi.json` and `/schema/messages.json`."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import msgspec
from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler

from app.transports.asyncapi import asyncapi_document
from app.transports.message_schemas import message_schemas

_HEADERS: Final = {"cache-control": "no-cache"}


def contracts(version: str, base_path: str) -> list[HTTPRouteHandler]:
    """Their routes, for the router that has the OpenAPI document.

    Args:
        version: of this server.
        base_path: what all routes are under.
    """

    @lru_cache(maxsize=16)
    def described(host: str, protocol: str) -> bytes:
        return msgspec.json.encode(asyncapi_document(version, base_path, host, protocol))

    @lru_cache(maxsize=1)
    def messages() -> bytes:
        return msgspec.json.encode(message_schemas(version))

    @get("/asyncapi.json", name="asyncapi.json")
    async def asyncapi_json(request: Request[Any, Any, Any]) -> Response[bytes]:
        """The AsyncAPI document; its server is this one, as the caller named it."""
        protocol = "wss" if request.url.scheme == "https" else "ws"
        body = described(request.url.netloc, protocol)
        return Response(body, media_type="application/vnd.aai.asyncapi+json", headers=_HEADERS)

    @get("/messages.json", name="messages.json")
    async def messages_json() -> Response[bytes]:
        """The JSON Schema of every message."""
        return Response(messages(), media_type="application/schema+json", headers=_HEADERS)

    return [asyncapi_json, messages_json]
