"""Events as bytes for storage: JSON, `["<tag>", {fields}]` an event, an array of these a segment.

A segment is the events of one append. Tags and field names are what old data is read by: a tag is never given to
another class, a field that is added has a default, and fields that this version does not know are ignored. Nothing here
goes over a wire.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import NoneType
from typing import Any, Final, get_args

from cattrs import BaseConverter
from cattrs.dispatch import UnstructureHook
from cattrs.fns import identity
from cattrs.preconf.msgspec import MsgspecJsonConverter, make_converter
from msgspec import MsgspecError, json

from app import events
from app.errors import StoreUnavailable
from app.events import Event

TAGS: Final[dict[str, type[Event]]] = {
    "run": events.RunStarted,
    "k+": events.ThinkingStarted,
    "k": events.ThinkingDelta,
    "k-": events.ThinkingEnd,
    "t+": events.TextStarted,
    "t": events.TextDelta,
    "t-": events.TextEnd,
    "c+": events.ToolStarted,
    "c-": events.ToolEvent,
    "turn": events.TurnThinking,
    "ctx": events.ContextCompressed,
    "a?": events.ApprovalRequested,
    "a!": events.ApprovalResolved,
    "x": events.Custom,
    "end": events.StreamEnd,
    "stop": events.RunCancelled,
    "fail": events.RunFailed,
}
"""The short name that each event class is stored under."""


def _is_optional(of: Any) -> bool:
    return len(get_args(of)) == len({NoneType, Any}) and NoneType in get_args(of)


def _unstructure_optional(of: Any, converter: BaseConverter) -> UnstructureHook:
    (inner,) = (arg for arg in get_args(of) if arg is not NoneType)
    return converter.get_unstructure_hook(inner)


def _make_converter() -> MsgspecJsonConverter:
    # cattrs hands a class over to msgspec's encoder only if every field's own hook is a pass-through. Those of Any and
    # of `X | None` are not, by default; msgspec writes both just as well, ten times faster.
    converter = make_converter(detailed_validation=False)
    converter.register_unstructure_hook(Any, identity)
    converter.register_unstructure_hook_factory(_is_optional, _unstructure_optional)
    return converter


_converter = _make_converter()
_dumps: Final[dict[type, tuple[bytes, Callable[[Any], bytes]]]] = {
    cls: (b'["%b",' % tag.encode(), _converter.get_dumps_hook(cls)) for tag, cls in TAGS.items()
}
_loads: Final = {tag: (cls, _converter.get_structure_hook(cls)) for tag, cls in TAGS.items()}


def encode_event(event: Event) -> bytes:
    """Encode one event.

    Raises:
        TypeError, ValueError: a field holds what JSON can't express (the recorder renders such values, P2.4).
    """
    opening, dumps = _dumps[type(event)]
    return b"%b%b]" % (opening, dumps(event))


def decode_event(data: bytes) -> Event:
    """Decode what `encode_event` made, now or in an older version.

    Raises:
        StoreUnavailable: the bytes are damaged, or a newer version wrote them.
    """
    return restore(parse(data))


def encode_segment(segment: Sequence[Event]) -> bytes:
    """Encode the events of one append.

    Raises:
        TypeError, ValueError: as `encode_event`; or there is no event.
    """
    if not segment:
        raise ValueError("an append holds at least one event")
    return b"[%b]" % b",".join([encode_event(event) for event in segment])


def decode_segment(data: bytes) -> list[Event]:
    """Decode what `encode_segment` made; raises what `decode_event` raises."""
    return [restore(item) for item in parse(data)]


def parse(data: bytes) -> list[Any]:
    """Parse what is stored, always an array, without making events of it yet.

    Raises:
        StoreUnavailable: it is something else.
    """
    try:
        parsed = json.decode(data, type=list)
    except MsgspecError as error:
        raise StoreUnavailable("stored events are damaged") from error
    return parsed


def restore(item: Any) -> Event:
    """Make an event of its parsed form, `[tag, fields, …]`; raises what `decode_event` raises."""
    try:
        cls, structure = _loads[item[0]]
        event: Event = structure(item[1], cls)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise StoreUnavailable("a stored event can't be read by this version") from error
    return event
