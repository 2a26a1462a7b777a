"""API keys: the server keeps their SHA-256 alone, so whoever reads its settings can't call with them (P6.1).

A key is 256 random bits, which is why a plain digest will do: there is nothing to guess.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path
from typing import Final

from attrs import frozen

from app.errors import ConfigurationError, Unauthenticated
from app.transports.auth.principals import is_principal
from app.transports.auth.watched_file import WatchedFile

_ENTRY: Final = re.compile(r"([!-~]+):([0-9a-fA-F]{64})")
_SHELF: Final = 4
"""How much of a digest finds it. What a comparison's time may tell is no more than this of a digest, of no key."""


@frozen
class NewKey:
    """A key that was just made: what its owner shows, and the entry that the server keeps."""

    key: str
    entry: str


def mint(principal: str) -> NewKey:
    """Make a key for a principal.

    Raises:
        ConfigurationError: nobody can have that name.
    """
    if not is_principal(principal):
        raise ConfigurationError(f"{principal!r} can't name a principal: 1 to 255 visible ASCII characters")
    key = f"rc_{secrets.token_urlsafe(32)}"
    return NewKey(key, f"{principal}:{sha256(key.encode()).hexdigest()}")


class KeyRing:
    """Principals by the digests of their keys.

    Args:
        entries: `principal:sha256`, each with the place where it stands.

    Raises:
        ConfigurationError: an entry is wrong, or a digest is given twice.
    """

    def __init__(self, entries: Iterable[tuple[str, str]]) -> None:
        self._shelves: dict[bytes, dict[bytes, str]] = {}
        for where, entry in entries:
            found = _ENTRY.fullmatch(entry)
            if found is None or not is_principal(found[1]):  # not shown: it may be a key
                raise ConfigurationError(f"{where} must look like principal:sha256; `runcast key` makes one")
            digest = bytes.fromhex(found[2])
            shelf = self._shelves.setdefault(digest[:_SHELF], {})
            if digest in shelf:
                raise ConfigurationError(f"{where} has the same key as an entry before it")
            shelf[digest] = found[1]

    def __bool__(self) -> bool:
        return bool(self._shelves)

    def principal(self, digest: bytes) -> str | None:
        """Whose key has that digest."""
        shelf = self._shelves.get(digest[:_SHELF], {})
        return next((whose for kept, whose in shelf.items() if compare_digest(kept, digest)), None)


class ApiKeys:
    """Tokens that are API keys.

    Args:
        entries: the setting RUNCAST_API_KEYS.
        path: RUNCAST_API_KEYS_FILE: an entry a line, `#` begins a comment.

    Raises:
        ConfigurationError: an entry is wrong, or there are none at all.
    """

    def __init__(self, entries: Iterable[str], path: Path | None) -> None:
        given = enumerate(entries, start=1)
        self._ring = KeyRing((f"RUNCAST_API_KEYS: entry {number}", entry) for number, entry in given)
        self.files = (WatchedFile(path, lambda text: _ring_of(path, text)),) if path is not None else ()
        if not self._ring and not any(file.value for file in self.files):
            raise ConfigurationError(
                "RUNCAST_AUTH=keys needs a key in RUNCAST_API_KEYS or RUNCAST_API_KEYS_FILE; `runcast key` makes one"
            )

    def principal(self, token: str) -> str:
        """Whose key it is.

        Raises:
            Unauthenticated: nobody's.
        """
        digest = sha256(token.encode()).digest()
        for ring in (self._ring, *(file.value for file in self.files)):
            if (principal := ring.principal(digest)) is not None:
                return str(principal)
        raise Unauthenticated("the token is no key of this server", given=True)


def _ring_of(path: Path, text: str) -> KeyRing:
    lines = ((f"{path}: line {number}", line.strip()) for number, line in enumerate(text.splitlines(), start=1))
    return KeyRing((where, line) for where, line in lines if line and not line.startswith("#"))
