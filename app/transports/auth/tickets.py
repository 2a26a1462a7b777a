"""Tickets: what a browser's WebSocket and EventSource show, since they can't set headers (P6.2).

A ticket is a JWT that this server signed for itself: for one principal, one session and five minutes. Its key is
derived from the secret, so that no ticket passes for a token, even where both have the same secret.
"""

from __future__ import annotations

import hmac
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import jwt

from app.errors import ConfigurationError, Unauthenticated

LIFETIME: Final = 300
"""Seconds that a ticket opens streams and carries commands; an open stream outlives it."""

_ALGORITHM: Final = "HS256"
_PURPOSE: Final = b"runcast ticket, version 1"
_SECRET_BYTES: Final = 32


class Tickets:
    """Signs tickets and tells them again.

    Args:
        secret: what no one else knows; the same in every process of an installation.
        clock: seconds since the epoch.
    """

    def __init__(self, secret: bytes, clock: Callable[[], float] = time.time) -> None:
        self._key = hmac.digest(secret, _PURPOSE, "sha256")
        self._clock = clock

    def issue(self, principal: str, session_id: str) -> str:
        """A ticket of that principal for that session."""
        claims = {"sub": principal, "sid": session_id, "exp": int(self._clock()) + LIFETIME}
        return jwt.encode(claims, self._key, _ALGORITHM)

    def principal(self, ticket: str, session_id: str) -> str:
        """Whose ticket it is.

        Raises:
            Unauthenticated: it has expired, is for another session, or was not signed here.
        """
        try:
            claims = jwt.decode(ticket, self._key, [_ALGORITHM], options={"verify_exp": False})
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise Unauthenticated("the ticket is not valid", given=True) from None
        if claims["exp"] <= self._clock():
            raise Unauthenticated("the ticket has expired", given=True)
        if claims["sid"] != session_id:
            raise Unauthenticated("the ticket is not for this session", given=True)
        return str(claims["sub"])


def kept_secret(path: Path) -> bytes:
    """The secret that is kept in a file, made when there is none: tickets survive a restart.

    Raises:
        ConfigurationError: the file can't be used.
    """
    try:
        if not path.exists():
            fresh = path.with_suffix(".new")
            fresh.unlink(missing_ok=True)
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(secrets.token_bytes(_SECRET_BYTES))
            fresh.rename(path)
        secret = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path} can't be used: {error.strerror}") from error
    if len(secret) != _SECRET_BYTES:
        raise ConfigurationError(f"{path} is damaged: remove it, and a new one is made")
    return secret
