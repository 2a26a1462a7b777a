"""`GET /metrics`: the process's numbers for Prometheus, and for whatever else reads its format."""

from __future__ import annotations

from typing import Any, Final

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import SkipValidation

from app.transports.access_log import PROBE
from app.transports.exposition import Exposition
from app.transports.problems import declared

_MEDIA_TYPE: Final = "text/plain"


@get(
    "/metrics",
    operation_id="metrics",
    summary="Numbers for Prometheus",
    media_type=_MEDIA_TYPE,
    opt=PROBE,
    responses={
        200: ResponseSpec(str, media_type=_MEDIA_TYPE, generate_examples=False, description="The numbers."),
        **declared(),
    },
)
async def metrics(
    request: Request[Any, Any, Any], exposition: NamedDependency[SkipValidation[Exposition]]
) -> Response[bytes]:
    """What the process has done and is doing, in the text format of Prometheus, or OpenMetrics by `Accept`."""
    body, content_type = await exposition.text(request.headers.get("accept", ""))
    return Response(body, headers={"content-type": content_type})  # as `media_type` it would get another charset
