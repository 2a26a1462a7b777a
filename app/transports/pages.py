"""The pages and the browser client: static files of `app/web`, read once."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, Final

from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from app.transports.auth.authenticator import OPEN

_INDEX: Final = "index.html"
_MEDIA_TYPES: Final = {  # to texts Litestar adds the charset
    ".html": "text/html",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}
_IMPORT_MAP: Final = re.compile(rb'<script type="importmap">(.*?)</script>', re.DOTALL)
_HEADERS: Final = {
    "cache-control": "no-cache",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "cross-origin",  # pages of allowed origins load the client
}
_POLICY: Final = (
    "default-src 'self'",
    "img-src 'self' data:",
    *(f"{kind} 'none'" for kind in ("object-src", "base-uri", "form-action", "frame-ancestors")),
)


def pages() -> list[HTTPRouteHandler]:
    """A route for every file: `index.html` is at `/`, `runs.html` at `/runs`, the rest where it lies."""
    return [_page(path, body) for path, body in sorted(_files(files("app.web"), ""))]


def _files(folder: Traversable, path: str) -> Iterator[tuple[str, bytes]]:
    for item in folder.iterdir():
        if item.is_dir():
            yield from _files(item, f"{path}{item.name}/")
        elif _suffix(item.name) in _MEDIA_TYPES:
            yield f"{path}{item.name}", item.read_bytes()


def _suffix(name: str) -> str:
    return name[name.rfind(".") :]


def _policy(body: bytes) -> str:
    """What a page may load: nothing inline but its import maps, which a browser takes from nowhere else."""
    digests = [b64encode(hashlib.sha256(text).digest()).decode() for text in _IMPORT_MAP.findall(body)]
    allowed = " ".join(("'self'", *(f"'sha256-{digest}'" for digest in digests)))
    return "; ".join((*_POLICY, f"script-src {allowed}"))


def _page(name: str, body: bytes) -> HTTPRouteHandler:
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {**_HEADERS, "content-security-policy": _policy(body), "etag": etag}

    async def page(request: Request[Any, Any, Any]) -> Response[Any]:
        path, query = request.scope["raw_path"].decode("latin-1"), request.scope["query_string"].decode("latin-1")
        if name == _INDEX and not path.endswith("/"):  # its relative links would lead beside the base path
            return Redirect(f"{path}/?{query}" if query else f"{path}/", status_code=308)
        if request.headers.get("if-none-match") == etag:
            return Response(b"", status_code=304, headers=headers)
        return Response(body, media_type=_MEDIA_TYPES[_suffix(name)], headers=headers)

    route = "/" if name == _INDEX else f"/{name.removesuffix('.html')}"
    return get(route, name=name, include_in_schema=False, opt=OPEN)(page)
