"""A client's file name -> one that can be shown in a prompt, a page or a listing without being more than a name.

It never becomes part of a path: on disk a file has the name that `on_disk` makes.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

MAX_BYTES: Final = 255
"""Bytes of UTF-8 that a name may have, as on most file systems; what is longer is cut before its suffix."""

_NAMELESS: Final = "file"
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Categories of characters that nobody sees: controls, bidirectional and other formats, surrogates, line ends."""

_FORBIDDEN: Final = re.compile(r'[<>:"|?*]')
_SUFFIX: Final = re.compile(r"\.[A-Za-z0-9]{1,12}")
_DEVICES: Final = re.compile(r"^(?i:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(?=\s*(\.|$))")


def clean_name(name: str) -> str:
    """The last part of what the client calls the file, in normal form, without what can't be seen or means more."""
    visible = "".join(each for each in name if unicodedata.category(each) not in _UNSEEN)
    last = re.split(r"[/\\\u2044\u2215\u29f8\uff0f\uff3c]", unicodedata.normalize("NFC", visible))[-1]
    plain = _FORBIDDEN.sub("_", " ".join(last.split())).strip(" .")
    return _cut(_DEVICES.sub(r"_\g<0>", plain)) or _NAMELESS


def on_disk(file_id: str, name: str) -> str:
    """The name under which a file is kept: its id, and a plain suffix, which many tools go by."""
    suffix = suffix_of(name)
    return file_id + (suffix.lower() if _SUFFIX.fullmatch(suffix) else "")


def suffix_of(name: str) -> str:
    """The last dot of a name and what follows it, if there is something before it."""
    stem, dot, suffix = name.rpartition(".")
    return dot + suffix if stem and suffix else ""


def _cut(name: str) -> str:
    if len(name.encode()) <= MAX_BYTES:
        return name
    suffix = suffix_of(name) if len(suffix_of(name).encode()) <= MAX_BYTES // 4 else ""
    stem = name.removesuffix(suffix).encode()[: MAX_BYTES - len(suffix.encode())]
    return stem.decode(errors="ignore").rstrip(" .") + suffix
