"""JSON from clients -> attrs classes: one strict cattrs converter, and errors that name the field (P4.2).

Nothing is coerced: a number is not a string, a string is not a list. Fields that a class does not have are ignored,
so that newer clients can talk to older servers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar, get_args, get_origin

from cattrs import BaseValidationError, Converter, transform_error
from cattrs.cols import list_structure_factory
from cattrs.preconf.msgspec import make_converter
from cattrs.v import format_exception

from app.errors import InvalidMessage
from app.transports.bodies import NamedFile

T = TypeVar("T")

_NAMES = {str: "a string", int: "an integer", bool: "true or false"}


def _exactly(kind: type[T]) -> Callable[[Any, Any], T]:
    def structure(value: Any, _: Any) -> T:
        if type(value) is not kind:
            raise TypeError(f"expected {_NAMES[kind]}")
        return value

    return structure


def _is_list(kind: Any) -> bool:
    origin: Any = get_origin(kind)
    return origin is list


def _array(kind: Any, converter: Converter) -> Callable[[Any, Any], list[Any]]:
    structure_items = list_structure_factory(kind, converter)  # names the index of a wrong item

    def structure(value: Any, _: Any) -> list[Any]:
        if type(value) is not list:
            raise TypeError("expected an array")
        items: list[Any] = structure_items(value, kind)
        return items

    return structure


def _is_choice(kind: Any) -> bool:
    origin: Any = get_origin(kind)
    return origin is Literal


def _choice(value: Any, kind: Any) -> Any:
    choices = get_args(kind)
    if value not in choices:
        raise TypeError(f"expected {' or '.join(map(repr, choices))}")
    return value


def _file(value: Any, _: Any) -> str | NamedFile:
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and isinstance(value.get("name"), str) and isinstance(value.get("path"), str):
        return NamedFile(name=value["name"], path=value["path"])
    raise TypeError("expected a file's id, or an object with its name and path")


converter = make_converter()
"""The converter of every HTTP body and WebSocket command, and of every HTTP answer."""

for _kind in (str, int, bool):
    converter.register_structure_hook(_kind, _exactly(_kind))
converter.register_structure_hook_factory(_is_list, _array)
converter.register_structure_hook_func(_is_choice, _choice)
converter.register_structure_hook_func(lambda kind: kind == str | NamedFile, _file)


def structure(value: Any, kind: type[T]) -> T:
    """Make a `kind` of a JSON value.

    Raises:
        InvalidMessage: the message says which field is wrong, by its path.
    """
    if not isinstance(value, dict):
        raise InvalidMessage("$: expected an object")
    try:
        return converter.structure(value, kind)
    except BaseValidationError as error:
        raise InvalidMessage("; ".join(_explained(error))) from error


def _explained(error: BaseValidationError) -> list[str]:
    lines = transform_error(error, path="$", format_exception=_reason)
    return [f"{path}: {reason}" for reason, _, path in (line.rpartition(" @ ") for line in lines)]


def _reason(error: BaseException, kind: type | None) -> str:
    if isinstance(error, KeyError):
        return "this field is required"
    if isinstance(error, TypeError | ValueError) and error.args:
        return str(error.args[0])
    return format_exception(error, kind)
