"""HTTP requests to one server: who calls, and asking again until there is an answer."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx
from attrs import frozen

from app.client.errors import Refused, Unreachable, of_answer, of_transport
from app.client.lost import Attempts, OnLost
from app.errors import RuncastError

_ANSWER_S: Final = 10.0
SILENCE_S: Final = 45.0
"""The server breaks every silence after 15 seconds (P3.8); after this much the connection is dead."""

Shown = str | Callable[[], str | Awaitable[str]]
"""A token or ticket, or a function that is asked for one before each request, and again if it raises.

`Refused`, raised by it, is final."""


@frozen
class Server:
    """Where requests go, and as whom.

    Attributes:
        http: carries them.
        base: the server's address, with the path under which it is mounted.
        token: an API key or JWT, sent as a bearer (P6.1).
        ticket: instead of it, what `POST /tickets` answered, sent in the query (P6.2).
        on_lost: told of each attempt that failed and is followed by another.
    """

    http: httpx.AsyncClient
    base: str
    token: Shown | None
    ticket: Shown | None
    on_lost: OnLost

    async def credentials(self) -> dict[str, Any]:
        """The arguments of an httpx request that say who calls.

        Raises:
            Refused: what was given can't be sent.
            Unreachable: the function that was to give it has raised.
        """
        if self.token is not None:
            return {"headers": {"authorization": f"Bearer {await _current(self.token)}"}, "params": {}}
        return {"headers": {}, "params": {"ticket": await _current(self.ticket)} if self.ticket is not None else {}}

    async def call(self, path: str, *, method: str = "POST", repeatable: bool = True, **more: Any) -> dict[str, Any]:
        """One command or question, asked again until it is answered.

        Args:
            path: relative to the base.
            method: GET or POST.
            repeatable: whether it may be asked again where the server may have acted on it already.
            more: the body, as httpx takes it.

        Raises:
            Refused: the answer is no, or the request can't be sent.
            Unreachable: it may not be repeated, and there was no answer.
        """
        attempts = Attempts(self.on_lost, self.base)
        while True:
            attempts.begin()
            try:
                shown = await self.credentials()
                answer = await self.http.request(
                    method, f"{self.base}/{path}", timeout=_ANSWER_S, follow_redirects=False, **shown, **more
                )
                return _body(answer)
            except httpx.LocalProtocolError as error:
                raise Refused("cannot_be_sent", str(error)) from error
            except httpx.TransportError as error:
                lost = of_transport(error)
            except Unreachable as error:
                lost = error
            if not (repeatable or lost.unsent):
                raise lost
            await attempts.fail(lost)


def identity(answer: dict[str, Any]) -> str:
    """The id of what a command has made.

    Raises:
        Refused: there is none, so somebody else has answered.
    """
    made = answer.get("id")
    if not isinstance(made, str):
        raise Refused("no_id", "the answer is not Runcast's")
    return made


def _body(answer: httpx.Response) -> dict[str, Any]:
    if not answer.is_success:
        raise of_answer(answer)
    try:
        given = answer.json()
    except ValueError as error:
        raise Refused("no_json", "the answer is not Runcast's", answer.status_code) from error
    if not isinstance(given, dict):
        raise Refused("no_json", "the answer is not Runcast's", answer.status_code)
    return given


async def _current(shown: Shown) -> str:
    try:
        given = shown() if callable(shown) else shown
        text = await given if inspect.isawaitable(given) else given
    except RuncastError:
        raise
    except Exception as error:
        # Most often, what makes tokens could not be reached either.
        raise Unreachable(f"no token: {str(error) or type(error).__name__}", unsent=True) from error
    if not (text.isascii() and text.isprintable() and " " not in text):
        raise Refused("unauthenticated", "the token is malformed")
    return text


@asynccontextmanager
async def server(
    url: str, token: Shown | None, ticket: Shown | None, http: httpx.AsyncClient | None, on_lost: OnLost
) -> AsyncIterator[Server]:
    """A server to talk to for a while.

    Raises:
        ValueError: `url` is no address of one.
    """
    try:
        base = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError(f"{url} is no address: {error}") from error
    if base.scheme not in ("http", "https") or not base.host:
        raise ValueError(f"{url} is no address: it begins with http:// or https://")
    if http is not None:
        yield Server(http, str(base).rstrip("/"), token, ticket, on_lost)
        return
    # Reading the certificates that nobody will ask for takes longer than everything else here.
    async with httpx.AsyncClient(verify=base.scheme == "https") as own:
        yield Server(own, str(base).rstrip("/"), token, ticket, on_lost)
