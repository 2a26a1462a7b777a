"""The composition root: the only module that knows all the others."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from typing import Any, Final

from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.spec import Components, License, SecurityScheme, Tag
from litestar.router import Router
from litestar.types import Scope

from app.agents.loader import load_profiles
from app.dialects.native import Native
from app.opening import open_registry
from app.oversight import STANDINGS
from app.registry import RunRegistry
from app.server.watchdog import Watchdog
from app.settings import Settings
from app.siblings import Siblings
from app.telemetry import Telemetry
from app.tracing.loader import tracing_of
from app.transports import (
    files,
    metrics,
    operator,
    pages,
    problems,
    runs,
    service,
    sessions,
    sse,
    tickets,
    viewing,
    websocket,
)
from app.transports.auth.authenticator import Authenticator, Guard
from app.transports.auth.jwt_tokens import JwtTokens
from app.transports.auth.keys import ApiKeys
from app.transports.auth.principals import Tokens
from app.transports.auth.tickets import Tickets, kept_secret
from app.transports.auth.watched_file import watching
from app.transports.cattrs_plugin import CattrsPlugin
from app.transports.contracts import Contents, contracts_router
from app.transports.exposition import NUMBERS, Exposition
from app.transports.metrics import MetricsDoor
from app.transports.origins import OriginMiddleware, Origins, Preflights, cors
from app.transports.sse import StreamOptions
from app.transports.threshold import Threshold


def create_app(settings: Settings | None = None, siblings: Siblings | None = None) -> Litestar:
    """Build the application; its stores are opened, and old runs recovered, when it starts.

    Args:
        settings: those of the environment, by default.
        siblings: the other workers behind the same port, if there are any.

    Raises:
        ConfigurationError: the settings or the profiles are wrong.
    """
    settings = settings or Settings.from_environment(os.environ)
    tokens = _tokens(settings)
    profiles = load_profiles(settings.agent, settings.profiles)
    only_local = settings.auth == "none" and not settings.allow_anonymous
    origins = Origins(settings.allowed_origins, only_local=only_local)
    telemetry = Telemetry(tracing=tracing_of(os.environ), siblings=siblings)
    measures = telemetry.measures
    for transport in viewing.TRANSPORTS:
        measures.expect(transport, Native.name, viewing.CUTS)
    exposition = Exposition(measures, siblings)
    door = MetricsDoor(settings.metrics_token, open=tokens is None)
    options = StreamOptions(settings.send_timeout, telemetry, settings.commands_per_minute, settings.max_json_depth)

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(telemetry.tracing.close)
            measures.loop = stack.enter_context(Watchdog())
            try:
                registry = await stack.enter_async_context(open_registry(settings, profiles, telemetry))
                app.state.registry = registry
                app.state.authenticator = Authenticator(tokens, await _tickets(settings))
            except Exception as error:
                app.state.failure = error  # for who can say it better than a lifespan's traceback
                raise
            await stack.enter_async_context(watching(tokens.files if tokens is not None else ()))
            if siblings is not None:
                topics = {NUMBERS: exposition.families, STANDINGS: registry.oversight.standings}
                await stack.enter_async_context(siblings.answering(topics))
            yield

    async def provide_registry(state: State) -> RunRegistry:
        return state.registry  # type: ignore[no-any-return]

    async def provide_authenticator(state: State) -> Authenticator:
        return state.authenticator  # type: ignore[no-any-return]

    async def provide_principal(scope: Scope) -> str:
        return scope["user"]  # type: ignore[no-any-return]

    app = Litestar(
        route_handlers=[Router(settings.base_path or "/", route_handlers=_routes(settings.base_path))],
        lifespan=[lifespan],
        dependencies={
            "registry": Provide(provide_registry),
            "authenticator": Provide(provide_authenticator),
            "principal": Provide(provide_principal),
            "stream_options": Provide(lambda: options, sync_to_thread=False),
            "max_upload_bytes": Provide(lambda: settings.max_upload_bytes, sync_to_thread=False),
            "origins": Provide(lambda: origins, sync_to_thread=False),
            "exposition": Provide(lambda: exposition, sync_to_thread=False),
            "metrics_door": Provide(lambda: door, sync_to_thread=False),
        },
        state=State({"measures": measures}),
        middleware=[OriginMiddleware(origins), Guard()],
        security=[{"bearer": []}],
        cors_config=cors(settings.allowed_origins),
        plugins=[CattrsPlugin(settings.max_json_depth)],
        exception_handlers=problems.HANDLERS,
        request_max_body_size=settings.max_message_bytes,
        logging_config=None,
        openapi_config=_openapi(settings.base_path),
    )
    app.asgi_handler = Threshold(Preflights(app.asgi_handler, origins, measures))
    return app


def _routes(base_path: str) -> list[Any]:
    return [
        websocket.session_socket,
        sse.follow_session,
        sse.follow_run,
        sessions.create_session,
        sessions.list_sessions,
        sessions.get_session,
        sessions.delete_session,
        sessions.list_messages,
        files.upload_file,
        runs.start_run,
        runs.list_runs,
        runs.get_run,
        runs.cancel_run,
        runs.answer_approval,
        runs.read_log,
        tickets.create_ticket,
        service.list_profiles,
        service.live,
        service.ready,
        metrics.metrics,
        operator.list_every_run,
        *pages.pages(base_path),
    ]


def _tokens(settings: Settings) -> Tokens | None:
    match settings.auth:
        case "none":
            return None
        case "keys":
            return ApiKeys(settings.api_keys, settings.api_keys_file)
        case "jwt":
            return JwtTokens(
                settings.jwt_secret,
                settings.jwt_keys_file,
                audience=settings.jwt_audience,
                issuer=settings.jwt_issuer,
            )


async def _tickets(settings: Settings) -> Tickets:
    if settings.secret is not None:
        return Tickets(settings.secret.encode())
    return Tickets(await asyncio.to_thread(kept_secret, settings.data_dir / "ticket-secret"))


_TAGS: Final = {
    "sessions": "Conversations: their transcripts, their files, whom they are with, and the tickets that open them.",
    "runs": "Turns of a conversation: starting, following and commanding them.",
    "operations": "For whoever operates the server.",
}
"""The groups of the document's operations, which are the modules of some generated clients."""


def _openapi(base_path: str) -> OpenAPIConfig:
    bearer = SecurityScheme("http", scheme="bearer", description="An API key or a JWT, where the server asks for one.")
    ticket = SecurityScheme("apiKey", name="ticket", security_scheme_in="query", description="Made by `createTicket`.")
    contents = Contents()
    return OpenAPIConfig(
        title="Runcast",
        version=version("runcast"),
        description="An event-streaming gateway for AI-agent runs: any agent in, any client out, nothing lost.",
        openapi_router=contracts_router(version("runcast"), base_path, contents),
        render_plugins=[contents],
        components=Components(security_schemes={"bearer": bearer, "ticket": ticket}),
        license=License(name="MIT", identifier="MIT"),
        tags=[Tag(name, description=about) for name, about in _TAGS.items()],
        use_handler_docstrings=True,
    )
