"""What `/schema` has beside the OpenAPI document: the other two contracts, and the page that leads to all of them."""

from __future__ import annotations

from functools import cache, partial
from importlib.resources import files
from typing import Any, Final

import msgspec
from litestar import MediaType, Request, Response, get
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.plugins import OpenAPIRenderPlugin
from litestar.router import Router
from litestar.status_codes import HTTP_404_NOT_FOUND

from app.transports.asyncapi import asyncapi_document, at_server
from app.transports.auth.authenticator import OPEN
from app.transports.message_schemas import message_schemas
from app.transports.pages import page_headers

_AT: Final = b"{at}"


class Contents(OpenAPIRenderPlugin):
    """The page at `/schema`; the reference pages that it leads to are files like any other."""

    def __init__(self) -> None:
        super().__init__(path="/")
        self._page = (files("app.web") / "schema" / "index.html").read_bytes()
        self._headers = page_headers(self._page)

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:  # noqa: ARG002
        """The page, its links being relative to the address that was asked for."""
        below = request.scope["raw_path"].endswith(b"/")
        return self._page.replace(_AT, b"" if below else b"schema/")

    def allow(self, answer: Response[Any]) -> Response[Any]:
        """Give pages the headers of pages, and leave documents those of all other answers.

        Raises:
            NotFoundException: it is the page by which Litestar says that there is none.
        """
        if answer.status_code == HTTP_404_NOT_FOUND:
            raise NotFoundException
        if answer.media_type == MediaType.HTML:
            answer.headers.update(self._headers)
        return answer


def contracts_router(version: str, base_path: str, contents: Contents) -> Router:
    """The router of `/schema`, to which Litestar adds `contents` and the OpenAPI document.

    Args:
        version: of this server.
        base_path: what all routes are under.
        contents: the page that leads to them.
    """
    return Router(
        f"{base_path}/schema",
        route_handlers=_contracts(version, base_path),
        include_in_schema=False,
        opt=OPEN,
        after_request=contents.allow,
    )


def _contracts(version: str, base_path: str) -> list[HTTPRouteHandler]:
    document = cache(partial(asyncapi_document, version, base_path))
    messages = cache(lambda: msgspec.json.encode(message_schemas(version)))

    # In threads: the first call makes schemas of every class, which the loop should not wait for.
    @get("/asyncapi.json", name="asyncapi.json", sync_to_thread=True)
    def asyncapi_json(request: Request[Any, Any, Any]) -> Response[bytes]:
        """The AsyncAPI document; its server is this one, as the caller named it."""
        here = at_server(document(), request.url.netloc, secure=request.url.scheme == "https")
        return Response(msgspec.json.encode(here), media_type="application/vnd.aai.asyncapi+json")

    @get("/messages.json", name="messages.json", sync_to_thread=True)
    def messages_json() -> Response[bytes]:
        """The JSON Schema of every message."""
        return Response(messages(), media_type="application/schema+json")

    return [asyncapi_json, messages_json]
