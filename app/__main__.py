"""The `runcast` command."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from functools import wraps
from importlib.metadata import version
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import click
import msgspec
from attrs import evolve
from dotenv import load_dotenv

from app.errors import ConfigurationError
from app.logs import set_up_logs
from app.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")


def _clear_errors(command: Callable[P, T]) -> Callable[P, T]:
    """A wrong configuration is one line for its reader, never a traceback."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except ConfigurationError as error:
            raise click.ClickException(str(error)) from error

    return run


def _settings(**options: Any) -> Settings:
    load_dotenv(Path(".env"))
    settings = Settings.from_environment(os.environ)
    return evolve(settings, **{name: value for name, value in options.items() if value is not None})


@click.group()
@click.version_option(package_name="runcast")
def main() -> None:
    """Runcast: any agent in, any client out, no event lost in between."""


@main.command()
@click.option("--host", help="Address to listen on.  [RUNCAST_HOST, 127.0.0.1]")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port to listen on, 0 for a free one.  [RUNCAST_PORT, 8000]"
)
@click.option(
    "--agent", help="The agent to serve: demo, local, pydantic-ai:<model>, module:attribute.  [RUNCAST_AGENT]"
)
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    help="How many processes serve there; more than one need RUNCAST_REDIS_URL.  [RUNCAST_WORKERS, 1]",
)
@_clear_errors
def serve(host: str | None, port: int | None, agent: str | None, workers: int | None) -> None:
    """Start the gateway."""
    from app.serve import serve as run  # noqa: PLC0415 - the other commands need no server

    settings = _settings(host=host, port=port, agent=agent, workers=workers)
    if agent is not None:  # what was just typed wins over a file of profiles that the environment names
        settings = evolve(settings, profiles=None)
    set_up_logs(settings.log_format, settings.log_level, os.environ)
    run(settings)


@main.command()
@click.argument("session")
@click.option("--url", help="Where the gateway is.  [http://RUNCAST_HOST:RUNCAST_PORT]")
@click.option("--after", help="Begin after this position; `0` for everything.  [default: the run in progress]")
@click.option("--token", help="An API key or JWT; the variable keeps it out of the list of processes.  [RUNCAST_TOKEN]")
@_clear_errors
def tail(session: str, url: str | None, after: str | None, token: str | None) -> None:
    """Follow SESSION in this terminal; a lost connection is resumed where it broke."""
    from app.tail import show  # noqa: PLC0415 - the other commands need no client

    settings = _settings(token=token)
    if url is None:
        url = f"http://{settings.host}:{settings.port}{settings.base_path}"
    try:
        sys.exit(asyncio.run(show(url, session, after, sys.stdout, settings.token)))
    except KeyboardInterrupt:
        sys.exit(130)


@main.command()
@_clear_errors
def migrate() -> None:
    """Bring the database's tables up to date, as a start does. Safe while others do the same."""
    from app.opening import database_url  # noqa: PLC0415 - the other commands need no application
    from app.sessions.migrations import migrate as bring_up_to_date  # noqa: PLC0415

    settings = _settings()
    if settings.database_url is None:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    done = asyncio.run(bring_up_to_date(database_url(settings)))
    if done.before == done.after:
        click.echo(f"up to date: version {done.after}")
    else:
        click.echo(f"migrated: {f'version {done.before}' if done.before else 'no tables'} -> version {done.after}")


@main.command()
@click.argument("principal")
@_clear_errors
def key(principal: str) -> None:
    """Make an API key for PRINCIPAL: the key itself, for whoever calls, and the entry that the gateway keeps of it."""
    from app.transports.auth.keys import mint  # noqa: PLC0415 - the other commands make none

    made = mint(principal)
    click.echo(f"key:   {made.key}")
    click.echo(f"entry: {made.entry}")
    click.echo("The key is shown this once; the entry belongs in RUNCAST_API_KEYS or RUNCAST_API_KEYS_FILE.", err=True)


_output = click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write there instead of printing."
)


@main.command()
@_output
@_clear_errors
def openapi(output: Path | None) -> None:
    """Print the OpenAPI document: everything over HTTP."""
    from app.main import create_app  # noqa: PLC0415 - the other commands need no application

    _export(create_app(Settings()).openapi_schema.to_schema(), output)


@main.command()
@_output
def asyncapi(output: Path | None) -> None:
    """Print the AsyncAPI document: everything over WebSockets."""
    from app.transports.asyncapi import asyncapi_document  # noqa: PLC0415 - the other commands need no document

    _export(asyncapi_document(version("runcast")), output)


@main.command()
@_output
def messages(output: Path | None) -> None:
    """Print the JSON Schema of every message, from the server and from clients."""
    from app.transports.message_schemas import message_schemas  # noqa: PLC0415 - the other commands need none

    _export(message_schemas(version("runcast")), output)


def _export(document: Any, output: Path | None) -> None:
    text = msgspec.json.format(msgspec.json.encode(document, enc_hook=str), indent=2).decode() + "\n"
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(prog_name="runcast")
