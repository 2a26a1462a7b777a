"""What may name a principal, and what every kind of token has in common."""

from __future__ import annotations

import re
from typing import Final, Protocol

from app.errors import Unauthenticated
from app.transports.auth.watched_file import WatchedFile

ANYBODY: Final = "local"
"""The principal while nobody has to authenticate (P6.1)."""

MAX_TOKEN: Final = 8 * 1024
"""Characters; a longer token is refused unread."""

_PRINCIPAL: Final = re.compile(r"[!-~]{1,255}")
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")


class Tokens(Protocol):
    """One way to tell callers by the token that they show."""

    @property
    def files(self) -> tuple[WatchedFile, ...]:
        """What it was read from, to be watched for changes."""

    def principal(self, token: str) -> str:
        """Whose token it is; no I/O.

        Raises:
            Unauthenticated: it is nobody's.
        """


def is_principal(text: str) -> bool:
    """Whether `text` may name a principal: 1 to 255 visible ASCII characters, as OpenID Connect's `sub`."""
    return _PRINCIPAL.fullmatch(text) is not None


def well_formed(token: str) -> str:
    """The token, if it is written as tokens are (RFC 6750).

    Raises:
        Unauthenticated: it is not.
    """
    if len(token) > MAX_TOKEN or _TOKEN.fullmatch(token) is None:
        raise Unauthenticated("the token is malformed", given=True)
    return token
