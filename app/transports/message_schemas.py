"""The messages of the native dialect as JSON Schema (2020-12), both directions, made from the attrs classes.

What a client sends is described as strictly as the server checks it. What a server sends is described as it is today:
clients ignore fields and types that they don't know (P2.3), so whoever validates what arrives lets both pass.
"""

from __future__ import annotations

from typing import Any, Final, get_args

import msgspec
from litestar._openapi.schema_generation import SchemaCreator
from litestar.typing import FieldDefinition

from app.dialects.messages import ReplyMessage, StreamMessage
from app.transports.cattrs_plugin import CattrsPlugin
from app.transports.commands import Command

UNIONS: Final = {
    "ServerMessage": (StreamMessage | ReplyMessage, "Whatever a server sends over a WebSocket."),
    "RunEvent": (StreamMessage, "Whatever a stream of server-sent events carries, and a page of a log."),
    "ClientMessage": (Command, "Whatever a client may send over a WebSocket: its commands."),
}
"""The unions, by name: each with its members and its description."""

_ABOUT: Final = (
    "Every message of Runcast's native dialect, told apart by `type`. A newer server may send fields and types that "
    "are not here; clients ignore these (P2.3). A server ignores what a command has besides."
)
_LITESTARS: Final = "#/components/schemas/"


def message_schemas(version: str) -> dict[str, Any]:
    """One JSON Schema whose `$defs` are the messages and their unions, by name.

    Args:
        version: of this server.
    """
    at = "#/$defs/"
    unions = {
        name: {"title": name, "description": says, "oneOf": [{"$ref": at + each.__name__} for each in get_args(union)]}
        for name, (union, says) in UNIONS.items()
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Runcast messages",
        "description": _ABOUT,
        "$comment": f"Runcast {version}",
        "anyOf": [{"$ref": f"{at}ServerMessage"}, {"$ref": f"{at}ClientMessage"}],
        "$defs": unions | definitions(at),
    }


def definitions(at: str) -> dict[str, Any]:
    """The schema of every message and of what is in it, by class name, in the order of the alphabet.

    Args:
        at: where the document keeps them, as a reference begins.
    """
    creator = SchemaCreator(plugins=[CattrsPlugin()])
    for union, _ in UNIONS.values():
        for message in get_args(union):
            creator.for_field_definition(FieldDefinition.from_annotation(message))
    found = creator.schema_registry.generate_components_schemas()
    text = msgspec.json.encode({name: found[name].to_schema() for name in sorted(found)})
    schemas: dict[str, Any] = msgspec.json.decode(text.replace(f'"{_LITESTARS}'.encode(), f'"{at}'.encode()))
    for schema in schemas.values():
        if "type" in (properties := schema.get("properties", {})):  # first, as on the wire, also where it is inherited
            schema["properties"] = {"type": properties["type"]} | properties
    return schemas
