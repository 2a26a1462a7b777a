"""Secrets are kept out of the log, whatever the text of an exception holds (P6.2, P6.5).

Two kinds are known: the values of environment variables that are named as secrets are, and what looks like a token, a
ticket, a key of a provider, or a password in an address.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final

REDACTED: Final = "[redacted]"

_SECRET_NAME: Final = re.compile(r"(KEY|KEYS|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?)$", re.IGNORECASE)
_SHORTEST: Final = 8
"""A shorter value is as likely a word that the log needs."""

_HOLE: Final = "\0"
"""Where a secret was, while the line is worked on: one that is part of another is told once."""

_SHAPES: Final = re.compile(
    r"""(?P<lead>\b(?:[Bb]earer|BEARER)[ .](?=\S{8})|\bticket=|://[^\s/:@'"]*:(?=[^\s/@'"]*@))[^\s&'"\\,;@\]})]+"""
    r"""|\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*"""
    r"""|\b(?:rc_|sk-)[\w-]{16,}"""
)
_HINTS: Final = ("earer", "EARER", "ticket=", "://", "eyJ", "rc_", "sk-")
"""One of these is in every line that has such a shape: looking for them costs a hundredth of the expression."""


class Redaction:
    """Replaces secrets in a line.

    Args:
        environment: where the values of secrets are found.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        values = {value for name, value in environment.items() if _SECRET_NAME.search(name) and len(value) >= _SHORTEST}
        written = values | {json.dumps(value)[1:-1] for value in values}  # as they stand in a line of JSON
        self._longest_first = sorted(written, key=len, reverse=True)

    def __call__(self, line: str) -> str:
        """The line without them."""
        for value in self._longest_first:
            line = line.replace(value, _HOLE)
        if any(hint in line for hint in _HINTS):
            line = _SHAPES.sub(lambda found: (found["lead"] or "") + _HOLE, line)
        return line.replace(_HOLE, REDACTED)
