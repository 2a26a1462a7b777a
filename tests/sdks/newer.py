"""The `runcast` command of a version to come: it has a type and a field that nobody knows yet (P2.3)."""

from typing import Any, Literal

from attrs import frozen

from app import events
from app.__main__ import main
from app.dialects import native


@frozen(kw_only=True, slots=False)
class Mood:
    """What it says instead of `custom`."""

    type: Literal["mood"] = "mood"
    id: str
    colour: str = "blue"


@frozen(kw_only=True, slots=False)
class ThinkingEnd:
    """With a field more."""

    type: Literal["thinking_end"] = "thinking_end"
    id: str
    seconds: float = 1.5


def _say(cls: Any, event: type) -> None:
    native._ENCODERS[cls] = native._converter.get_dumps_hook(cls)
    native._MESSAGES[event] = lambda at, _: cls(id=at)


_say(Mood, events.Custom)
_say(ThinkingEnd, events.ThinkingEnd)

if __name__ == "__main__":
    main(prog_name="runcast")
