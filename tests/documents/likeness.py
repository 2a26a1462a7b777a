"""What a page shows, compared with what there is: `…` stands for anything, since ids and times differ each time."""

import re
from typing import Any

ELLIPSIS = "…"


def alike(shown: Any, said: Any) -> bool:
    """Whether a JSON value is the one that is shown, its fields in the same order."""
    match shown:
        case dict():
            return list(shown) == list(said) and all(alike(value, said[name]) for name, value in shown.items())
        case list():
            return len(shown) == len(said) and all(map(alike, shown, said))
        case str() if ELLIPSIS in shown:
            return matches(shown, said)
        case _:
            return bool(shown == said)


def matches(shown: str, said: str) -> bool:
    """Whether a text is."""
    return re.fullmatch(".*".join(map(re.escape, shown.split(ELLIPSIS))), said, re.DOTALL) is not None
