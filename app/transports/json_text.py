"""JSON text from clients -> Python values, at a cost that the text's length bounds (P6.6).

A text is decoded once it is known to hold neither too deep a nesting nor too many values: six megabytes of `[{},` would
become 145 MB of objects. Most texts are known at a glance, by counting their brackets and commas; only where there
are many are the strings taken out and the rest looked at.
"""

from __future__ import annotations

import re
from itertools import accumulate
from typing import Any, Final

import msgspec

from app.errors import InvalidJson, InvalidMessage

MAX_DEPTH: Final = 32
MAX_VALUES: Final = 200_000

_STRING: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_BRACKETS: Final = b"[{]}"
_NO_BRACKETS: Final = bytes(set(range(256)) - set(_BRACKETS))
_TOO_MANY: Final = f"$: more than {MAX_VALUES} values"
_STEPS: Final = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


def decode(raw: bytes | str, max_depth: int = MAX_DEPTH) -> Any:
    """Parse JSON.

    Raises:
        InvalidJson: it is none.
        InvalidMessage: it is nested too deep, or holds too many values.
    """
    try:
        text = raw.encode() if isinstance(raw, str) else raw
        _check(text, max_depth)
        return msgspec.json.decode(text)
    except RecursionError as error:
        raise InvalidJson(f"not JSON: nested deeper than {max_depth} levels, and not closed") from error
    except (msgspec.DecodeError, UnicodeError) as error:
        raise InvalidJson(f"not JSON: {error}") from error


def _check(text: bytes, max_depth: int) -> None:
    opened, commas = text.count(b"[") + text.count(b"{"), text.count(b",")
    if opened <= max_depth and opened + commas <= MAX_VALUES:
        return
    strings = (text.count(b'"') - text.count(b'\\"')) // 2  # or more, but no fewer
    if strings > 2 * MAX_VALUES:  # a value has one, and a key has one
        raise InvalidMessage(_TOO_MANY)
    text = _STRING.sub(b"", text)
    brackets = text.translate(None, _NO_BRACKETS)
    if len(brackets) // 2 + text.count(b",") > MAX_VALUES:
        raise InvalidMessage(_TOO_MANY)
    depths = list(accumulate(map(_STEPS.__getitem__, brackets))) or [0]
    if max(depths) > max_depth and depths[-1] == 0:  # what is not closed is no JSON, and the decoder says so
        raise InvalidMessage(f"$: nested deeper than {max_depth} levels")
