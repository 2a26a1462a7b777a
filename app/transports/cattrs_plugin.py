"""One cattrs converter as Litestar's authority on attrs classes: bodies, answers, and their OpenAPI schemas.

Litestar would hand attrs classes to msgspec, which coerces nothing but names no field either, and would document a
union without its discriminator and a defaulted `type` as optional. A union of tagged classes is a named `oneOf` when
it is annotated with `KwargDefinition(schema_component_key=...)`.
"""

from __future__ import annotations

import inspect
from collections.abc import Generator
from dataclasses import replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

import attrs
from litestar._openapi.schema_generation import SchemaCreator
from litestar.dto import AbstractDTO
from litestar.dto.data_structures import DTOFieldDefinition
from litestar.openapi.spec import Discriminator, OpenAPIType, Reference, Schema
from litestar.plugins import OpenAPISchemaPlugin, SerializationPlugin
from litestar.response import Response
from litestar.typing import FieldDefinition
from msgspec import UnsetType

from app.transports.json_text import MAX_DEPTH, decode
from app.transports.structuring import converter, structure


def tag_of(kind: Any) -> str | None:
    """The constant `type` of a message class, None of any other."""
    if not (isinstance(kind, type) and attrs.has(kind)):
        return None
    hint = get_type_hints(kind).get("type")
    return str(get_args(hint)[0]) if get_origin(hint) is Literal else None


class _LiveDiscriminator(Discriminator):
    """Component names are settled only when the document is made, so the mapping holds the references till then."""

    def to_schema(self) -> dict[str, Any]:
        references: dict[str, Any] = self.mapping or {}
        return {"propertyName": self.property_name, "mapping": {tag: ref.ref for tag, ref in references.items()}}


class CattrsPlugin(SerializationPlugin, OpenAPISchemaPlugin):
    """See the module.

    Args:
        max_depth: how deep the JSON of a body may be nested (P6.6).
    """

    def __init__(self, max_depth: int = MAX_DEPTH) -> None:
        self._max_depth = max_depth

    def supports_type(self, field_definition: FieldDefinition) -> bool:
        return isinstance(field_definition.annotation, type) and attrs.has(field_definition.annotation)

    def create_dto_for_type(self, field_definition: FieldDefinition) -> type[AbstractDTO[Any]]:
        return _dto_for(field_definition, self._max_depth)

    @staticmethod
    def is_plugin_supported_type(value: Any) -> bool:
        return isinstance(value, type) and attrs.has(value)

    def is_plugin_supported_field(self, field_definition: FieldDefinition) -> bool:
        if self.supports_type(field_definition):
            return True
        named = getattr(field_definition.kwarg_definition, "schema_component_key", None) is not None
        return named and field_definition.is_union and all(tag_of(t.annotation) for t in field_definition.inner_types)

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: SchemaCreator) -> Schema:
        if field_definition.is_union:
            return _union_schema(field_definition, schema_creator)
        return _class_schema(field_definition, schema_creator)


def _union_schema(field: FieldDefinition, creator: SchemaCreator) -> Schema:
    references: dict[str, Any] = {
        str(tag_of(member.annotation)): creator.for_field_definition(member) for member in field.inner_types
    }
    schema = creator.schema_registry.get_schema_for_field_definition(field)
    schema.title = getattr(field.kwarg_definition, "schema_component_key", None)
    schema.description = "One of several messages, told apart by `type`."
    schema.type = OpenAPIType.OBJECT
    schema.one_of = list(references.values())
    schema.discriminator = _LiveDiscriminator("type", references)
    return schema


def _class_schema(field: FieldDefinition, creator: SchemaCreator) -> Schema:
    kind: Any = field.annotation
    hints = get_type_hints(kind, include_extras=True)
    members = attrs.fields(kind)
    tagged = tag_of(kind) is not None
    schema = creator.create_component_schema(
        field,
        required=[m.name for m in members if m.default is attrs.NOTHING or (m.name == "type" and tagged)],
        property_fields={m.name: FieldDefinition.from_kwarg(_present(hints[m.name]), m.name) for m in members},
    )
    schema.description = inspect.getdoc(kind)
    for member in members:
        _name_choice(schema, member.name)
        _add_keywords(schema, member)
    return schema


def _name_choice(schema: Schema, name: str) -> None:
    """A choice that may be null as a titled choice, or null: generators make one named type of it."""
    found = (schema.properties or {}).get(name)
    if schema.properties is not None and isinstance(found, Schema) and None in (found.enum or []):
        given = [value for value in found.enum or [] if value is not None]
        choice = Schema(type=OpenAPIType.STRING, enum=given, title=name.title().replace("_", ""))
        schema.properties[name] = Schema(one_of=[choice, Schema(type=OpenAPIType.NULL)])


def _present(hint: Any) -> Any:
    """The type of a field where it is there at all."""
    members = [member for member in get_args(hint) if member is not UnsetType]
    return members[0] if UnsetType in get_args(hint) and len(members) == 1 else hint


def _add_keywords(schema: Schema, member: attrs.Attribute[Any]) -> None:
    keywords = member.metadata.get("schema")
    found = (schema.properties or {}).get(member.name)
    if schema.properties is not None and keywords and isinstance(found, Schema):
        schema.properties[member.name] = replace(found, **keywords)


def _dto_for(field: FieldDefinition, max_depth: int) -> type[AbstractDTO[Any]]:
    target = field.inner_types[0].raw if field.is_subclass_of(Response) else field.annotation

    class CattrsDTO(AbstractDTO[Any]):
        model_type = object

        def decode_bytes(self, value: bytes) -> Any:
            return structure(decode(value, max_depth) if value else {}, target)

        def decode_builtins(self, value: dict[str, Any]) -> Any:
            return structure(value, target)

        def data_to_encodable_type(self, data: Any) -> Any:
            if isinstance(data, Response):
                data.content = converter.unstructure(data.content)
                return data
            return converter.unstructure(data)

        @classmethod
        def create_for_field_definition(
            cls, field_definition: FieldDefinition, handler_id: str, backend_cls: Any = None
        ) -> None:
            """Nothing to prepare: the converter has its hooks."""

        @classmethod
        def is_supported_model_type_field(cls, field_definition: FieldDefinition) -> bool:
            return True

        @classmethod
        def create_openapi_schema(
            cls, field_definition: FieldDefinition, handler_id: str, schema_creator: SchemaCreator
        ) -> Reference | Schema:
            inner = field_definition.inner_types[0] if field_definition.is_subclass_of(Response) else field_definition
            return schema_creator.for_field_definition(inner)

        @classmethod
        def generate_field_definitions(cls, model_type: type[Any]) -> Generator[DTOFieldDefinition, None, None]:
            yield from ()

        @classmethod
        def detect_nested_field(cls, field_definition: FieldDefinition) -> bool:
            return False

    return CattrsDTO
