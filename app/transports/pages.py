"""The pages and the browser client: static files of `app/web`, read and compressed once."""

from __future__ import annotations

import gzip
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
from app.transports.conditional import has

_INDEX: Final = "index.html"
_CLIENT: Final = ("client.js", "shared.js", "event_source.js", "client.d.ts")
"""What is served, at the root, of the npm package `app/web/client`."""

_CONTRACTS: Final = "schema/index.html"
"""What the router of the contracts serves, at `/schema`."""

_PACKED: Final = ".gz"
_MEDIA_TYPES: Final = {  # to texts Litestar adds the charset
    ".html": "text/html",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".ts": "text/plain",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}
_IMPORT_MAP: Final = re.compile(rb'<script type="importmap">(.*?)</script>', re.DOTALL)
_HEADERS: Final = {
    "cache-control": "no-cache",
    "vary": "Accept-Encoding",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "cross-origin",  # pages of allowed origins load the client
}
_POLICY: Final = (
    "default-src 'self'",
    "img-src 'self' data:",
    *(f"{kind} 'none'" for kind in ("object-src", "base-uri", "form-action", "frame-ancestors")),
)


def pages(base_path: str) -> list[HTTPRouteHandler]:
    """A route for every file: `index.html` is at `/`, `runs.html` at `/runs`, the rest where it lies.

    Args:
        base_path: what all routes are under.
    """
    web = files("app.web")
    client = ((name, web / "client" / name) for name in _CLIENT)
    found = sorted((*_files(web, ""), *client))
    return [_page(base_path, path, *_forms(item)) for path, item in found if path != _CONTRACTS]


def page_headers(body: bytes) -> dict[str, str]:
    """The headers that a page goes out with."""
    return {**_HEADERS, "content-security-policy": _policy(body)}


def _files(folder: Traversable, path: str) -> Iterator[tuple[str, Traversable]]:
    for item in folder.iterdir():
        if item.is_dir() and item.name != "client":
            yield from _files(item, f"{path}{item.name}/")
        elif _suffix(item.name.removesuffix(_PACKED)) in _MEDIA_TYPES:
            yield f"{path}{item.name.removesuffix(_PACKED)}", item


def _forms(item: Traversable) -> tuple[bytes, bytes]:
    """What is in a file, and the same compressed; the larger of other people's files lie there compressed."""
    stored = item.read_bytes()
    if item.name.endswith(_PACKED):
        return gzip.decompress(stored), stored
    return stored, gzip.compress(stored, 9, mtime=0)


def _suffix(name: str) -> str:
    return name[name.rfind(".") :]


def _policy(body: bytes) -> str:
    """What a page may load: nothing inline but its import maps, which a browser takes from nowhere else."""
    digests = [b64encode(hashlib.sha256(text).digest()).decode() for text in _IMPORT_MAP.findall(body)]
    allowed = " ".join(("'self'", *(f"'sha256-{digest}'" for digest in digests)))
    return "; ".join((*_POLICY, f"script-src {allowed}"))


def _page(base_path: str, name: str, body: bytes, packed: bytes) -> HTTPRouteHandler:
    headers = page_headers(body)
    media_type = _MEDIA_TYPES[_suffix(name)]
    plain = _Form(body, media_type, headers)
    route = "/" if name == _INDEX else f"/{name.removesuffix('.html')}"
    small = _Form(packed, media_type, {**headers, "content-encoding": "gzip"})

    async def page(request: Request[Any, Any, Any]) -> Response[Any]:
        path, query = request.scope["raw_path"].decode("latin-1"), request.scope["query_string"].decode("latin-1")
        if path.endswith("/") != route.endswith("/"):  # its relative links would lead elsewhere
            address = f"{base_path}{route}"  # not what was asked for: a browser takes what begins with // for a host
            return Redirect(f"{address}?{query}" if query else address, status_code=308)
        # To an allowed origin the framework answers with a Vary of its own in place of ours: one form is safe to keep.
        foreign = "origin" in request.headers
        form = small if takes_gzip(request.headers.get("accept-encoding", "")) and not foreign else plain
        return form.answer(request)

    return get(route, name=name, include_in_schema=False, opt=OPEN)(page)


class _Form:
    """A file as it goes out, with or without compression."""

    def __init__(self, body: bytes, media_type: str, headers: dict[str, str]) -> None:
        self._body = body
        self._media_type = media_type
        self._etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        self._headers = {**headers, "etag": self._etag}

    def answer(self, request: Request[Any, Any, Any]) -> Response[Any]:
        """It, or that the client has it."""
        if has(request, self._etag):
            return Response(b"", status_code=304, headers=self._headers)
        return Response(self._body, media_type=self._media_type, headers=self._headers)


def takes_gzip(accepted: str) -> bool:
    """Whether an `Accept-Encoding` names gzip, and not to forbid it (RFC 9110, 12.5.3)."""
    for coding in accepted.replace(" ", "").lower().split(","):
        name, _, weight = coding.partition(";q=")
        if name == "gzip":
            return not weight or weight.strip("0.") != ""
    return False
