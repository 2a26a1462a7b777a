"""What Litestar's description of an operation leaves to be said: `operation_class` of the routes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from litestar.openapi.spec import (
    OpenAPIHeader,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    Parameter,
    RequestBody,
    Schema,
)

_RETRY_AFTER: Final = OpenAPIHeader(
    schema=Schema(type=OpenAPIType.INTEGER, minimum=0), description="Seconds after which to try again."
)


@dataclass
class OperationSpec(Operation):
    """An operation whose optional parameters are absent when they are not given: a query can't say null.

    Its answers that ask for patience say for how long.
    """

    def __post_init__(self) -> None:
        for parameter in self.parameters or []:
            if isinstance(parameter, Parameter) and isinstance(parameter.schema, Schema):
                parameter.schema = _not_null(parameter.schema)
        for status in ("429", "503"):
            if isinstance(response := (self.responses or {}).get(status), OpenAPIResponse):
                response.headers = {"Retry-After": _RETRY_AFTER}


@dataclass
class OpenOperationSpec(OperationSpec):
    """An operation that needs no credentials, whatever the document says of all the others."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.security = []


@dataclass
class OptionalBodySpec(OperationSpec):
    """An operation that can do without its body."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.request_body, RequestBody):
            self.request_body = replace(self.request_body, required=False)


def _not_null(schema: Schema) -> Schema:
    members = [one for one in schema.one_of or [] if not (isinstance(one, Schema) and one.type == OpenAPIType.NULL)]
    if len(members) != 1 or not isinstance(members[0], Schema):
        return schema
    given = {name: value for name, value in vars(schema).items() if value is not None and name != "one_of"}
    return replace(members[0], **given)
