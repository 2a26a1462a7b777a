"""`runcast tail`: a session in a terminal, its deltas joined to text, a lost connection resumed where it broke."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from typing import Any, Final, TextIO
from urllib.parse import quote

import click
import httpx
from attrs import define
from httpx_sse import SSEError, aconnect_sse

_SILENCE_S: Final = 45.0
"""The server breaks every silence after 15 seconds (P3.8); after this much the connection is dead."""

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.25, 10.0


class _Refused(Exception):
    """The server will not have us, however often we try."""


async def follow(url: str, session: str, after: str | None, out: TextIO, token: str | None = None) -> int:
    """Print the session until it is gone; the answer is the exit status."""
    screen = Screen(out)
    try:
        async for message in messages(url, session, after, token):
            screen.show(message)
    except _Refused as refused:
        click.echo(f"runcast: {refused}", err=True)
        return 1
    return 0


async def messages(
    url: str, session: str, after: str | None, token: str | None = None
) -> AsyncIterator[dict[str, Any]]:
    """The session's messages, each once, across lost connections.

    Raises:
        _Refused: the server answered with an error that trying again won't change.
    """
    if token is not None and not (token.isascii() and token.isprintable() and " " not in token):
        raise _Refused("the token is malformed")
    path = f"{url.rstrip('/')}/sessions/{quote(session, safe='')}/events"
    wait = _FIRST_WAIT_S
    timeout = httpx.Timeout(10.0, read=_SILENCE_S)
    headers = {"authorization": f"Bearer {token}"} if token is not None else {}
    async with httpx.AsyncClient(timeout=timeout, headers=headers) as client:
        while True:
            try:
                async for message in _connection(client, path, after):
                    wait = _FIRST_WAIT_S
                    after = message.get("id") or message.get("position") or after
                    yield message
            except httpx.UnsupportedProtocol as error:
                raise _Refused(f"{url} is no address: it begins with http:// or https://") from error
            except (httpx.TransportError, SSEError) as error:
                then = f"resuming after {after}" if after else "trying again"
                click.echo(f"\nruncast: {url}: {str(error).rstrip('.') or type(error).__name__}; {then}", err=True)
            await asyncio.sleep(wait * random.uniform(0.5, 1.0))  # noqa: S311 - spreads reconnects
            wait = min(wait * 2, _LONGEST_WAIT_S)


async def _connection(client: httpx.AsyncClient, path: str, after: str | None) -> AsyncIterator[dict[str, Any]]:
    params = {"after": after} if after is not None else {}
    async with aconnect_sse(client, "GET", path, params=params) as source:
        status = source.response.status_code
        if status in (408, 429) or status >= 500:  # noqa: PLR2004
            raise httpx.RemoteProtocolError(f"the server answered {status}")
        if status != 200:  # noqa: PLR2004
            await source.response.aread()
            raise _Refused(_detail(source.response))
        async for event in source.aiter_sse():
            if event.data:
                yield json.loads(event.data)


def _detail(response: httpx.Response) -> str:
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"the server answered {response.status_code}"


@define
class Screen:
    """Renders messages: deltas run on, everything else has a line of its own."""

    out: TextIO
    _open: str = ""

    def show(self, message: dict[str, Any]) -> None:
        """Render one message."""
        kind = message["type"]
        if kind in ("stream_delta", "thinking_delta"):
            self._run_on(kind, message)
        elif (line := _line(message)) is not None:
            self._end_line()
            click.echo(line, file=self.out)
        self.out.flush()

    def _run_on(self, kind: str, message: dict[str, Any]) -> None:
        speaker = f"{kind}/{message.get('agent', '')}"
        if self._open != speaker:
            self._end_line()
            self._open = speaker
            if agent := message.get("agent"):
                click.secho(f"[{_plain(agent)}] ", file=self.out, nl=False, dim=True)
        click.secho(_plain(message["delta"]), file=self.out, nl=False, dim=kind == "thinking_delta")

    def _end_line(self) -> None:
        if self._open:
            click.echo(file=self.out)
            self._open = ""


def _line(message: dict[str, Any]) -> str | None:
    match message["type"]:
        case "stream_start":
            return click.style(f"> {_plain(message['input']['content'])}", bold=True)
        case "tool_started":
            return f"  {_by(message)}{_plain(message['tool'])}({_short(message['args'])})"
        case "tool_call":
            mark = "ok" if message["success"] else "failed"
            return f"  {_by(message)}{_plain(message['tool'])} {mark}: {_short(message['result'])}"
        case "stream_end":
            return click.style(f"-- done at {message['id']}", fg="green")
        case "stream_cancelled":
            return click.style(f"-- cancelled: {_plain(message['reason'])}", fg="yellow")
        case "error":
            return click.style(
                f"-- {_plain(message['code'])}: {_plain(message['message'])}{_incident(message)}", fg="red"
            )
        case "gap":
            return click.style(f"-- events before {message['earliest']} are no longer kept", fg="yellow")
        case _:
            return None


def _plain(text: str) -> str:
    """`text` without what would steer the terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


def _incident(message: dict[str, Any]) -> str:
    return f" (incident {message['incident']})" if message.get("incident") else ""


def _by(message: dict[str, Any]) -> str:
    return f"[{_plain(message['agent'])}] " if message.get("agent") else ""


def _short(value: Any, limit: int = 100) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    line = _plain(" ".join(text.split()))
    return line if len(line) <= limit else line[: limit - 1] + "…"
