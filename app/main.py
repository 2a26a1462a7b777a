"""The composition root: the only module that knows all the others."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Final

from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.spec import Components, License, SecurityScheme, Tag
from litestar.router import Router
from litestar.types import Scope

from app.agents.loader import Profiles, load_profiles
from app.capacity import Capacity
from app.dialects.native import Native
from app.errors import ConfigurationError, StoreUnavailable
from app.hosting.ending import Stores
from app.hosting.limits import RunLimits
from app.hosting.recovery import recover
from app.registry import RunRegistry
from app.retention import Retention, SteadyClock
from app.runlog.archived import ArchivedLog
from app.runlog.sqlite import SqliteLog
from app.server.watchdog import Watchdog
from app.sessions.claim import claimed
from app.sessions.sql import open_sessions
from app.settings import Settings
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
from app.transports.exposition import Exposition
from app.transports.metrics import MetricsDoor
from app.transports.origins import OriginMiddleware, Origins, cors
from app.transports.sse import StreamOptions
from app.transports.threshold import Threshold
from app.uploads.desk import Limits, Uploads


def create_app(settings: Settings | None = None) -> Litestar:
    """Build the application; its stores are opened, and old runs recovered, when it starts.

    Raises:
        ConfigurationError: the settings or the profiles are wrong.
    """
    settings = settings or Settings.from_environment(os.environ)
    tokens = _tokens(settings)
    profiles = load_profiles(settings.agent, settings.profiles)
    only_local = settings.auth == "none" and not settings.allow_anonymous
    origins = Origins(settings.allowed_origins, only_local=only_local)
    telemetry = Telemetry(tracing=tracing_of(os.environ))
    measures = telemetry.measures
    for transport in viewing.TRANSPORTS:
        measures.expect(transport, Native.name, viewing.CUTS)
    exposition = Exposition(measures)
    door = MetricsDoor(settings.metrics_token, open=tokens is None)
    options = StreamOptions(settings.send_timeout, telemetry, settings.commands_per_minute, settings.max_json_depth)

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(telemetry.tracing.close)
            measures.loop = stack.enter_context(Watchdog())
            try:
                app.state.registry = await stack.enter_async_context(open_registry(settings, profiles, telemetry))
                app.state.authenticator = Authenticator(tokens, await _tickets(settings))
            except Exception as error:
                app.state.failure = error  # for who can say it better than a lifespan's traceback
                raise
            await stack.enter_async_context(watching(tokens.files if tokens is not None else ()))
            yield

    async def provide_registry(state: State) -> RunRegistry:
        return state.registry  # type: ignore[no-any-return]

    async def provide_authenticator(state: State) -> Authenticator:
        return state.authenticator  # type: ignore[no-any-return]

    async def provide_principal(scope: Scope) -> str:
        return scope["user"]  # type: ignore[no-any-return]

    app = Litestar(
        route_handlers=[Router(settings.base_path or "/", route_handlers=_routes())],
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
    app.asgi_handler = Threshold(app.asgi_handler)
    return app


@asynccontextmanager
async def open_registry(settings: Settings, profiles: Profiles, telemetry: Telemetry) -> AsyncIterator[RunRegistry]:
    """Open the stores, finish what an earlier process left, and close it all in the end.

    Raises:
        ConfigurationError: another process holds the data directory or the database, or it can't be used.
    """
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"{settings.data_dir} can't be the data directory: {error.strerror}") from error
    measures = telemetry.measures
    async with AsyncExitStack() as stack:
        live = await SqliteLog.open(
            settings.data_dir / "events.sqlite3", synchronous=settings.sqlite_sync, measures=measures
        )
        stack.push_async_callback(live.close)
        url = database_url(settings)
        if settings.database_url is not None:
            await stack.enter_async_context(claimed(url))
        rows = await open_sessions(url, synchronous=settings.sqlite_sync, pool=settings.database_pool)
        stack.push_async_callback(rows.close)
        stores = Stores(ArchivedLog(live, rows, measures=measures), rows, lambda: datetime.now(UTC), telemetry)
        try:
            await recover(stores)
        except StoreUnavailable as error:
            raise ConfigurationError(f"the events in {settings.data_dir} can't be used: {error}") from error
        uploads = Uploads(settings.data_dir / "files", rows, _upload_limits(settings), stores.clock)
        stack.push_async_callback(uploads.close)
        try:
            await uploads.recover()
        except OSError as error:
            raise ConfigurationError(f"the files in {settings.data_dir} can't be used: {error}") from error
        if settings.retention_days is not None:
            clock = SteadyClock(stores.clock, time.monotonic)
            retention = Retention(stores, uploads, settings.retention_days, clock)
            await stack.enter_async_context(retention.sweeping())
        native = Native()
        registry = RunRegistry(
            stores,
            uploads,
            profiles,
            {native.name: native},
            limits=_limits(settings),
            capacity=_capacity(settings),
            disconnect_grace=settings.disconnect_grace,
        )
        stack.push_async_callback(registry.close, settings.drain_timeout)
        yield registry


def database_url(settings: Settings) -> str:
    """Where sessions, runs and archives are kept.

    Raises:
        ConfigurationError: they are to be in PostgreSQL, and the data directory holds others, with their events.
    """
    file = settings.data_dir.absolute() / "sessions.sqlite3"
    if settings.database_url is None:
        return f"sqlite+aiosqlite:///{file}"
    if file.exists():
        raise ConfigurationError(
            f"RUNCAST_DATABASE_URL is set, but {file} holds sessions: choose another RUNCAST_DATA_DIR, or unset it"
        )
    return settings.database_url


def _capacity(settings: Settings) -> Capacity:
    told_apart = settings.auth != "none"
    return Capacity(
        viewers=settings.max_viewers,
        viewers_per_principal=settings.max_principal_viewers if told_apart else None,
        runs=settings.max_runs,
        runs_per_principal=settings.max_principal_runs if told_apart else None,
    )


def _limits(settings: Settings) -> RunLimits:
    return RunLimits(
        deadline=settings.run_deadline,
        idle=settings.idle_timeout,
        events=settings.max_run_events,
        bytes=settings.max_run_bytes,
    )


def _routes() -> list[Any]:
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
        *pages.pages(),
    ]


def _upload_limits(settings: Settings) -> Limits:
    return Limits(settings.max_upload_bytes, settings.max_session_files, settings.max_session_file_bytes)


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
