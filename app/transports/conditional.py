"""Conditional requests (RFC 9110, section 13): whether the client has already what it asks for."""

from __future__ import annotations

import re
from typing import Any, Final

from litestar import Request

_TAG: Final = re.compile(r'(?:W/)?("[^"]*")')


def has(request: Request[Any, Any, Any], etag: str) -> bool:
    """Whether `If-None-Match` names the strong `etag`, among others or weakly too, or whatever there is (13.1.2)."""
    known = ", ".join(request.headers.getall("if-none-match", []))
    return known.strip() == "*" or etag in _TAG.findall(known)
