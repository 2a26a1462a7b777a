"""`runcast serve`: the application on our server, in this process or in several workers."""

from __future__ import annotations

import os
import re
import resource
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import structlog

from app.errors import ConfigurationError
from app.logs import set_up_logs
from app.server.listening import is_loopback, listen, url_of
from app.server.stop_signals import die_of
from app.server.supervisor import Supervisor
from app.server.workers import Voice
from app.settings import Settings
from app.siblings import Siblings

log = structlog.get_logger()


def serve(settings: Settings) -> None:
    """Serve until a signal asks to stop.

    Raises:
        ConfigurationError: the process can't start as configured.
    """
    if settings.auth == "none" and not is_loopback(settings.host) and not settings.allow_anonymous:
        raise ConfigurationError(
            f"{settings.host} can be reached by others and nobody has to authenticate: "
            "set RUNCAST_AUTH=keys or jwt, listen on 127.0.0.1, or set RUNCAST_ALLOW_ANONYMOUS=true"
        )
    if settings.workers > 1 and settings.redis_url is None:
        raise ConfigurationError(
            f"{settings.workers} workers need RUNCAST_REDIS_URL and RUNCAST_DATABASE_URL, which they share: "
            "without them a gateway is one process"
        )
    _take_file_descriptors()
    with listen(settings.host, settings.port, patience=settings.send_timeout) as listener:
        url = url_of(listener) + settings.base_path

        def serving() -> None:
            click.echo(f"Runcast is listening on {url}")

        if settings.workers == 1:
            _serve_on(listener, settings, serving)
            return
        with TemporaryDirectory(prefix="runcast-", ignore_cleanup_errors=True) as folder:
            work = partial(_work, settings, listener, Path(folder))
            asked = Supervisor(settings.workers, work, serving=serving, stopping=listener.close).run()
    die_of(asked)


def _work(settings: Settings, listener: socket.socket, folder: Path, number: int, voice: Voice) -> None:
    """Serve as one of several workers."""
    set_up_logs(settings.log_format, settings.log_level, os.environ, worker=number)
    try:
        _serve_on(listener, settings, voice.serving, Siblings(folder, number, settings.workers))
    except ConfigurationError as error:
        voice.failed(error)
        raise SystemExit(1) from None


def _serve_on(
    listener: socket.socket, settings: Settings, accepts: Callable[[], None], siblings: Siblings | None = None
) -> None:
    # Who only supervises has no use for all of this.
    from app.main import create_app  # noqa: PLC0415
    from app.server.serving import Server, config_of  # noqa: PLC0415

    app = create_app(settings, siblings)
    measures = app.state.measures

    def refused(code: str) -> None:
        measures.rejected["http", code] += 1

    def drain() -> None:
        log.info("server.draining", runs=measures.running, queued=measures.queued(), viewers=len(measures.viewers))
        app.state.registry.drain()

    def hurry() -> None:
        app.state.registry.interrupt()

    def serving() -> None:
        accepts()
        url = url_of(listener) + settings.base_path
        log.info("server.started", url=url, version=version("runcast"), auth=settings.auth, **_kept(settings))

    server = Server(
        config_of(app, max_message_bytes=settings.max_message_bytes, refused=refused),
        drain=drain,
        finish=lambda: app.state.registry.finish(settings.drain_timeout),
        hurry=hurry,
        serving=serving,
        replaced=settings.redis_url is not None,
    )
    try:
        server.run(sockets=[listener])
    except SystemExit:
        if (failure := app.state.get("failure")) is not None:
            raise failure from None
        raise


def _take_file_descriptors() -> None:
    """As many as the process may have: a viewer is one, and most systems hand out 1,024 unless asked for more."""
    with suppress(OSError, ValueError):
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _kept(settings: Settings) -> dict[str, Any]:
    """Where everything is kept, without who may open it."""
    from app.sessions.engine import shown  # noqa: PLC0415 - as above

    kept: dict[str, Any] = {"data_dir": str(settings.data_dir.absolute())}
    if settings.redis_url is None:
        kept["sqlite_sync"] = settings.sqlite_sync
    else:
        kept["redis"] = [re.sub("//.*@", "//", url.strip().partition("?")[0]) for url in settings.redis_url.split(",")]
    if settings.database_url is not None:
        kept["database"] = shown(settings.database_url)
    return kept
