"""All that is particular to PostgreSQL: the URL, the pool, and which failures pass by themselves."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import NullPool, event
from sqlalchemy.engine.interfaces import ExceptionContext
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

SCHEMES: Final = frozenset({"postgres", "postgresql", "postgresql+asyncpg"})

_ANSWERS: Final = 30.0
"""Seconds in which a statement is answered, or its connection is given up. The server gives up earlier."""
_CONNECTS: Final = 10.0
_RECYCLED: Final = 900
_SETTINGS: Final = {
    "application_name": "runcast",
    "default_transaction_isolation": "read committed",  # row locks are what transactions here rely on
    "idle_in_transaction_session_timeout": "60s",
    "jit": "off",  # no query here is long enough for it to pay
    "lock_timeout": "15s",
    "statement_timeout": "25s",
}
_PASSING: Final = frozenset({
    "40001",  # serialization_failure
    "40P01",  # deadlock_detected
    "57P01",  # admin_shutdown
    "57P02",  # crash_shutdown
    "57P03",  # cannot_connect_now
    "25006",  # read_only_sql_transaction: a fail-over made another server the one that writes
})  # fmt: skip
_CONNECTION: Final = "08"
"""The class of the codes of lost connections."""
_USELESS: Final = frozenset({"57P01", "57P02", "25006"})


def open_postgresql(url: str, pool: int, **options: Any) -> AsyncEngine:
    """Make the engine of a server; nothing is connected yet.

    The URL goes to the driver as it is, so that all that libpq's URLs can say is understood, as `sslmode`.

    Args:
        url: with a scheme of `SCHEMES`.
        pool: how many connections there are at most, and kept.
        options: of SQLAlchemy's engine.
    """
    engine = create_async_engine(
        "postgresql+asyncpg://",
        connect_args={
            "dsn": _dsn(url),
            "timeout": _CONNECTS,
            "command_timeout": _ANSWERS,
            "server_settings": _SETTINGS,
        },
        pool_size=pool,
        max_overflow=0,
        pool_timeout=_CONNECTS,
        pool_recycle=_RECYCLED,
        **options,
    )
    event.listen(engine.sync_engine, "handle_error", _give_up_useless)
    return engine


def open_for_migrations(url: str) -> AsyncEngine:
    """The engine of a server for one transaction, which may take as long as it takes."""
    arguments = {"dsn": _dsn(url), "timeout": _CONNECTS, "server_settings": {"application_name": "runcast migrate"}}
    return create_async_engine("postgresql+asyncpg://", connect_args=arguments, poolclass=NullPool)


def open_alone(url: str) -> AsyncEngine:
    """The engine of a server for single statements over one connection, whose end the server notices within 25 s."""
    settings = {"application_name": "runcast claim", "tcp_keepalives_idle": "10"}
    settings |= {"tcp_keepalives_interval": "5", "tcp_keepalives_count": "3"}
    arguments = {"dsn": _dsn(url), "timeout": _CONNECTS, "command_timeout": _CONNECTS, "server_settings": settings}
    return create_async_engine(
        "postgresql+asyncpg://", connect_args=arguments, poolclass=NullPool, isolation_level="AUTOCOMMIT"
    )


def failures() -> tuple[type[Exception], ...]:
    """What is raised when a server fails; the driver's own where a new connection breaks before it is set up."""
    try:
        import asyncpg  # type: ignore[import-untyped]  # noqa: PLC0415 - of an extra
    except ModuleNotFoundError:
        return (DBAPIError, OSError)
    return (DBAPIError, OSError, asyncpg.InterfaceError, asyncpg.InternalClientError, asyncpg.PostgresError)


def passes(error: BaseException) -> bool:
    """Whether the transaction that failed changed nothing, or may have changed all, and is worth being repeated."""
    if isinstance(error, DBAPIError):
        code = sqlstate(error)
        return error.connection_invalidated or code in _PASSING or code.startswith(_CONNECTION)
    if isinstance(error, OSError):
        return isinstance(error, (ConnectionError, FileNotFoundError))  # the latter of a socket that is a file
    return True  # a connection that broke before it was set up


def sqlstate(error: DBAPIError) -> str:
    """The server's code of an error; empty if it is not the server's."""
    return getattr(error.orig, "sqlstate", None) or ""


def _dsn(url: str) -> str:
    return "postgresql" + url[url.index(":") :]


def _give_up_useless(context: ExceptionContext) -> None:
    # All connections of the pool are then made anew, and none of them fails for the same reason.
    error, driver = context.original_exception, context.dialect.loaded_dbapi
    # The latter is the driver's, when a connection ends at a moment that it did not expect.
    if getattr(error, "sqlstate", None) in _USELESS or isinstance(error, driver.InternalClientError):
        context.is_disconnect = True
