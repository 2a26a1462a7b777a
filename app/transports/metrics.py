"""`GET /metrics`: the process's numbers for Prometheus, and for whatever else reads its format.

They are the operator's, not the callers': where callers have to authenticate, none of their tokens opens this.
"""

from __future__ import annotations

import hmac
from typing import Any, Final

from attrs import field, frozen
from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import SkipValidation
from litestar.types import Scope

from app.errors import Unauthenticated
from app.transports.access_log import PROBE
from app.transports.auth.authenticator import OPEN
from app.transports.auth.credentials import bearer_of
from app.transports.exposition import Exposition
from app.transports.operations import OperationSpec
from app.transports.problems import declared

_MEDIA_TYPE: Final = "text/plain"


@frozen
class MetricsDoor:
    """Who may read the numbers.

    Attributes:
        token: what opens it.
        open: whether it is open to everybody while there is no token.
    """

    token: str | None = field(repr=False)
    open: bool

    def check(self, scope: Scope) -> None:
        """Return if the numbers may be read.

        Raises:
            Unauthenticated: not with what was shown.
        """
        if self.token is None and self.open:
            return
        if self.token is None:
            raise Unauthenticated("this server has no RUNCAST_METRICS_TOKEN, and opens to no other token", given=False)
        shown = bearer_of(scope)
        if shown is None:
            raise Unauthenticated("this needs the token of /metrics: Authorization: Bearer <token>", given=False)
        if not hmac.compare_digest(shown, self.token):
            raise Unauthenticated("this is not the token of /metrics", given=True)


@get(
    "/metrics",
    operation_class=OperationSpec,
    operation_id="metrics",
    summary="Numbers for Prometheus",
    tags=["operations"],
    media_type=_MEDIA_TYPE,
    opt={**PROBE, **OPEN},
    responses={
        200: ResponseSpec(str, media_type=_MEDIA_TYPE, generate_examples=False, description="The numbers."),
        **declared(),
    },
)
async def metrics(
    request: Request[Any, Any, Any],
    exposition: NamedDependency[SkipValidation[Exposition]],
    metrics_door: NamedDependency[SkipValidation[MetricsDoor]],
) -> Response[bytes]:
    """What the process has done and is doing, in the text format of Prometheus, or OpenMetrics by `Accept`.

    Its token is one of its own, `RUNCAST_METRICS_TOKEN`; a caller's token does not open it.
    """
    metrics_door.check(request.scope)
    body, content_type = await exposition.text(request.headers.get("accept", ""))
    return Response(body, headers={"content-type": content_type})  # as `media_type` it would get another charset
