"""What the demo agent says: the options in a message, and the text that answers it. Pure and deterministic."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from itertools import count, islice

from attrs import frozen

from app.agents.profile_tables import MAX_LENGTH, MAX_RATE
from app.errors import AgentError

_OPTION = re.compile(
    r"(?<!\S)/(?:(?P<flag>fail|error|crash|quiet|custom|approve)|(?P<key>length|rate)(?:\s+(?P<value>\S+))?)(?!\S)"
)
_TOKEN = re.compile(r"\s*\S+|\s+$")
_ECHO_WORDS = 40


@frozen
class Order:
    """What a message asks for: its options, and the words that are left.

    Attributes:
        words: the message without its options.
        flags: which of `fail`, `error`, `crash`, `quiet`, `custom`, `approve` it holds.
        length: how many text deltas; None for the natural length.
        rate: tokens per second; 0 is as fast as possible.
    """

    words: str
    flags: frozenset[str]
    length: int | None
    rate: float


def read_order(content: str, *, length: int | None, rate: float) -> Order:
    """Read the options in a message; `length` and `rate` are what holds without one.

    Raises:
        AgentError: an option's number is missing, malformed or out of bounds.
    """
    flags = set()
    for option in _OPTION.finditer(content):
        match option["flag"], option["key"]:
            case None, "length":
                length = int(_number("length", option["value"], MAX_LENGTH, whole=True))
            case None, _:
                rate = _number("rate", option["value"], MAX_RATE, whole=False)
            case flag, _:
                flags.add(flag)
    words = " ".join(_OPTION.sub(" ", content).split())
    return Order(words, frozenset(flags), length, rate)


def _number(option: str, text: str | None, most: int, *, whole: bool) -> float:
    kind = "a whole number" if whole else "a number"
    try:
        value = float(int(text or "")) if whole else float(text or "")
    except (ValueError, OverflowError):
        value = math.nan
    if not 0 <= value <= most:
        said = "nothing" if text is None else repr(text[:40])
        raise AgentError(f"/{option} needs {kind} from 0 to {most}, not {said}")
    return value


def thinking(order: Order, turn_number: int) -> str:
    """What the demo agent thinks before it answers."""
    plan = "answer at once" if "quiet" in order.flags else "count the words, look at the notes, ask the researcher"
    wrote = _counted(len(order.words.split()), "word")
    return f"This is turn {turn_number}. The user wrote {wrote}. I will {plan}, then write it up."


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"


def findings(order: Order) -> str:
    """What the researcher reports."""
    return f"The longest word is “{longest_word(order.words)}”. Nothing else stood out."


def longest_word(words: str) -> str:
    """The longest word, the first of them if there are several."""
    return max(words.split() or ["nothing"], key=len)[:80]


def answer(order: Order, *, turn_number: int, images: int, files: Sequence[str] = ()) -> Iterator[str]:
    """The answer's text, piece by piece: the same for the same message, turn number, images and names of files."""
    pieces = _pieces(_document(order.words, turn_number, images, files))
    if order.length is None:
        return pieces
    return islice(_endless(pieces), order.length)


def _pieces(text: str) -> Iterator[str]:
    return (found.group() for found in _TOKEN.finditer(text))


def _endless(pieces: Iterator[str]) -> Iterator[str]:
    yield from pieces
    for number in count(2):
        yield from _pieces(_section(number))


def _document(words: str, turn_number: int, images: int, files: Sequence[str]) -> str:
    said = words.split()
    echo = " ".join(said[:_ECHO_WORDS]) + (" …" if len(said) > _ECHO_WORDS else "")
    came = [_counted(images, "image")] * bool(images) + [f"the file {name}" for name in files]
    with_it = f" It came with {' and '.join(came)}." if came else ""
    return f"""# You said

> {echo or "(nothing)"}

This is turn {turn_number} of our conversation.{with_it} No model wrote this: the demo agent says the same words every
time, so that you can watch how they travel.

## What to try

1. Reload the page while I talk: you come back where you were.
2. Open a second tab on this session and see the same words.
3. Write `/fail`, `/error` or `/crash`, and watch how a run ends.

## An agent in three lines

```python
async def agent(turn):
    yield f"You said: {{turn.content}}"
```

| option | what it does |
|---|---|
| `/length 500` | text in 500 pieces |
| `/rate 200` | 200 pieces a second |
| `/quiet` | only text |
| `/approve` | I ask before I go on |
"""


_SENTENCES = (
    "An event is kept before anybody sees it.",
    "A viewer is a number that says where it stands in the log.",
    "Whoever comes late reads what was kept and then follows along.",
    "Nothing is said twice, and nothing is left out.",
    "When the connection breaks, the run goes on.",
)


def _section(number: int) -> str:
    chosen = [_SENTENCES[(number + offset) % len(_SENTENCES)] for offset in range(3)]
    return f"\n\n## More, part {number}\n\n{' '.join(chosen)}"
