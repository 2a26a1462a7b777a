"""The route that takes files in (section 5 of the protocol). There is none that gives them out."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from litestar import Request, post
from litestar.di import NamedDependency
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIType, RequestBody, Schema
from litestar.params import FromPath

from app.errors import Draining, ForbiddenOrigin, InvalidMessage, SessionNotFound, StorageFull, TooLarge
from app.transports.auth.authenticator import BY_TICKET
from app.transports.bodies import UploadView
from app.transports.multipart import FIELD, open_file, parts_of
from app.transports.operations import OperationSpec
from app.transports.parameters import Registry
from app.transports.problems import declared


@dataclass
class UploadSpec(OperationSpec):
    """An operation whose body is a form with one file."""

    def __post_init__(self) -> None:
        super().__post_init__()
        file = Schema(type=OpenAPIType.STRING, content_media_type="application/octet-stream")
        form = Schema(type=OpenAPIType.OBJECT, properties={FIELD: file}, required=[FIELD])
        self.request_body = RequestBody(content={"multipart/form-data": OpenAPIMediaType(schema=form)}, required=True)


@post(
    "/sessions/{session_id:str}/files",
    **BY_TICKET,
    operation_class=UploadSpec,
    operation_id="uploadFile",
    summary="Upload a file",
    tags=["sessions"],
    request_max_body_size=None,
    responses=declared(InvalidMessage, ForbiddenOrigin, SessionNotFound, TooLarge, StorageFull, Draining),
)
async def upload_file(
    session_id: FromPath[str],
    request: Request[Any, Any, Any],
    registry: Registry,
    principal: NamedDependency[str],
    max_upload_bytes: NamedDependency[int],
) -> UploadView:
    """Keep a file for the session's messages to name; the answer tells how."""
    async with aclosing(parts_of(request, max_upload_bytes)) as parts:
        file = await registry.upload(principal, session_id, lambda: open_file(parts))
    return UploadView(id=file.id, name=file.name, path=file.path, size=file.size, media_type=file.media_type)
