"""The playground and the browser client: static files of `app/web`, read once."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import Any, Final

from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from app.transports.auth.authenticator import OPEN

_INDEX: Final = "index.html"
_MEDIA_TYPES: Final = {  # to texts Litestar adds the charset
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}
_HEADERS: Final = {
    "cache-control": "no-cache",
    "content-security-policy": "; ".join(
        (
            "default-src 'self'",
            "img-src 'self' data:",
            *(f"{kind} 'none'" for kind in ("object-src", "base-uri", "form-action", "frame-ancestors")),
        )
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "cross-origin",  # pages of allowed origins load the client
}


def pages() -> list[HTTPRouteHandler]:
    """A route for every file; `index.html` is at `/`."""
    found = [(item.name, item.read_bytes()) for item in files("app.web").iterdir() if item.is_file()]
    return [_page(name, body) for name, body in sorted(found) if _suffix(name) in _MEDIA_TYPES]


def _suffix(name: str) -> str:
    return name[name.rfind(".") :]


def _page(name: str, body: bytes) -> HTTPRouteHandler:
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {**_HEADERS, "etag": etag}

    async def page(request: Request[Any, Any, Any]) -> Response[Any]:
        path, query = request.scope["raw_path"].decode("latin-1"), request.scope["query_string"].decode("latin-1")
        if name == _INDEX and not path.endswith("/"):  # its relative links would lead beside the base path
            return Redirect(f"{path}/?{query}" if query else f"{path}/", status_code=308)
        if request.headers.get("if-none-match") == etag:
            return Response(b"", status_code=304, headers=headers)
        return Response(body, media_type=_MEDIA_TYPES[_suffix(name)], headers=headers)

    return get("/" if name == _INDEX else f"/{name}", name=name, include_in_schema=False, opt=OPEN)(page)
