"""`runcast serve`: the application on our server."""

from __future__ import annotations

import resource
from contextlib import suppress
from importlib.metadata import version
from typing import Any

import click
import structlog

from app.errors import ConfigurationError
from app.main import create_app
from app.measures import Measures
from app.server.listening import is_loopback, listen, url_of
from app.server.serving import Server, config_of
from app.settings import Settings

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
    app = create_app(settings)
    _take_file_descriptors()

    measures: Measures = app.state.measures

    def refused(code: str) -> None:
        measures.rejected["http", code] += 1

    def drain() -> None:
        log.info("server.draining", runs=measures.running, queued=measures.queued(), viewers=len(measures.viewers))
        app.state.registry.drain()

    def hurry() -> None:
        app.state.registry.interrupt()

    with listen(settings.host, settings.port, patience=settings.send_timeout) as listener:
        url = url_of(listener) + settings.base_path

        def serving() -> None:
            click.echo(f"Runcast is listening on {url}")
            log.info("server.started", url=url, version=version("runcast"), auth=settings.auth, **_kept(settings))

        server = Server(
            config_of(app, max_message_bytes=settings.max_message_bytes, refused=refused),
            drain=drain,
            finish=lambda: app.state.registry.finish(settings.drain_timeout),
            hurry=hurry,
            serving=serving,
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
    return {"data_dir": str(settings.data_dir.absolute()), "sqlite_sync": settings.sqlite_sync}
