"""structlog, set up once per process: readable on a terminal, one JSON object per line elsewhere."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Final, Literal

import structlog

from app.redaction import Redaction

_HEAD: Final = ("timestamp", "level", "event")


def set_up_logs(
    form: Literal["auto", "json", "console"], level: str, environment: Mapping[str, str], *, worker: int | None = None
) -> None:
    """Send our logs, and those of libraries, to standard error, without the secrets of the environment.

    Args:
        form: how lines look; `auto` is readable on a terminal and JSON elsewhere.
        level: of the least important ones.
        environment: where secrets are looked for.
        worker: which of several workers this process is; every line says so.
    """
    readable = form == "console" or (form == "auto" and sys.stderr.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if worker is not None:
        shared.append(lambda _, __, said: said | {"worker": worker})
    redact = Redaction(environment)
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_renderers(readable=readable),
                lambda _, __, line: redact(str(line)),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(number)
    # Libraries say at `info` what only their authors want to know, some of them with the URLs that they call.
    logging.getLogger("uvicorn").setLevel(logging.ERROR)  # its warnings are about what clients send
    for name in ("httpx", "httpx2", "httpcore", "alembic", "aiosqlite", "asyncio"):
        logging.getLogger(name).setLevel(max(number, logging.WARNING))


def _renderers(*, readable: bool) -> list[Any]:
    if readable:
        return [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    return [structlog.processors.format_exc_info, _head_first, structlog.processors.JSONRenderer(default=str)]


def _head_first(_: Any, __: str, said: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """When, how bad and what, before all the rest: lines are read by people, too."""
    return {name: said[name] for name in _HEAD if name in said} | dict(said)
