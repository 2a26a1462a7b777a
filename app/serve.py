"""`runcast serve`: the application on our server."""

from __future__ import annotations

import click

from app.errors import ConfigurationError
from app.main import create_app
from app.server.listening import is_loopback, listen, url_of
from app.server.serving import Server, config_of
from app.settings import Settings


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

    def drain() -> None:
        app.state.registry.drain()

    def hurry() -> None:
        app.state.registry.interrupt()

    with listen(settings.host, settings.port, patience=settings.send_timeout) as listener:
        url = url_of(listener) + settings.base_path
        server = Server(
            config_of(app, max_message_bytes=settings.max_message_bytes),
            drain=drain,
            hurry=hurry,
            serving=lambda: click.echo(f"Runcast is listening on {url}"),
        )
        try:
            server.run(sockets=[listener])
        except SystemExit:
            if (failure := app.state.get("failure")) is not None:
                raise failure from None
            raise
