"""A session to follow and to command, as its program holds it."""

from __future__ import annotations

import base64
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal, Self, TypedDict, Unpack
from urllib.parse import quote

import httpx

from app.client.errors import Refused
from app.client.follower import Follower
from app.client.http import Server, Shown, identity, server
from app.client.lost import OnLost, warn
from app.client.reading import Message, position
from app.client.streams import Stream, Transport
from app.dialects.messages import CaughtUp


class Session:
    """An open session: its messages by `async for`, and its commands.

    Messages can be read from one task while others send commands, and a read that is cancelled loses none. A command is
    an HTTP request, so its answer never waits for messages to be read. It is asked again until it is answered;
    `asyncio.timeout` is how to give up.

    Attributes:
        id: the session's id.
        run: the run that alone is followed, if one is.
        after: where the messages given so far end; a session that is opened `after` this misses none.
    """

    def __init__(
        self,
        server: Server,
        id: str,  # noqa: A002
        run: str | None,
        after: str | None,
        follower: Follower,
    ) -> None:
        self.id = id
        self.run = run
        self.after = after
        self._server = server
        self._path = _session_path(id)
        self._follower = follower

    @property
    def transport(self) -> Transport:
        """What carries the messages, or is being tried."""
        return self._follower.transport

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        message = await self._follower.next()
        if message is None:
            raise StopAsyncIteration
        at = message.position if isinstance(message, CaughtUp) else position(message)
        self.after = at or self.after
        return message

    async def send(
        self,
        content: str,
        *,
        images: Sequence[bytes | str] = (),
        files: Sequence[str] = (),
        on_conflict: Literal["reject", "queue", "interrupt"] | None = None,
        on_disconnect: Literal["continue", "cancel"] | None = None,
        idempotency_key: str | None = None,
    ) -> str:
        """Start a run; its id. However often this has to be asked, it is one run (P4.5).

        Args:
            content: what the user says, 1 to 100,000 characters.
            images: png, jpeg, gif or webp; bytes, or a data URL (P4.3).
            files: what `upload` answered.
            on_conflict: what happens if a run is in progress; `reject` if absent (P4.4).
            on_disconnect: what happens to the run when nobody follows it any more; `continue` if absent (P3.11).
            idempotency_key: names the run, so that a program that was restarted can ask again; minted if absent.

        Raises:
            Refused: it was not started.
        """
        encoded = [each if isinstance(each, str) else base64.b64encode(each).decode() for each in images]
        body = {"images": encoded, "files": list(files), "on_conflict": on_conflict, "on_disconnect": on_disconnect}
        given = {"content": content} | {name: value for name, value in body.items() if value}
        given["idempotency_key"] = idempotency_key or secrets.token_hex(16)
        return identity(await self._server.call(f"{self._path}/runs", json=given))

    async def upload(self, name: str, data: bytes) -> str:
        """Upload a file of at most 20 MiB; its id, which messages name it by.

        Raises:
            Refused: it was not taken.
            Unreachable: the connection broke before the answer; the file may be there.
        """
        form = {"file": (name, data, "application/octet-stream")}  # the server looks for itself
        return identity(await self._server.call(f"{self._path}/files", files=form, repeatable=False))

    async def cancel(self, run: str | None = None) -> None:
        """Cancel a run; if none is named, the one that is followed, or else the one in progress.

        One that has ended stays as it is (P4.6).

        Raises:
            Refused: there is no such run.
        """
        run = run or await self._meant()
        if run is not None:
            await self._server.call(f"{self._path}/runs/{_quoted(run)}/cancel")

    async def approve(self, call_id: str, approved: bool, comment: str | None = None) -> None:
        """Answer an `approval_requested` of the run that is followed, or else of the one in progress.

        Raises:
            Refused: nothing waits for this answer.
        """
        run = await self._meant()
        if run is None:
            raise Refused("no_such_approval", "no run is in progress")
        body: dict[str, Any] = {"approved": approved}
        if comment is not None:
            body["comment"] = comment
        await self._server.call(f"{self._path}/runs/{_quoted(run)}/approvals/{_quoted(call_id)}", json=body)

    async def close(self) -> None:
        """Stop following; `async for` ends. Commands still work until the `async with` is left."""
        await self._follower.close()

    async def _meant(self) -> str | None:
        if self.run is not None:
            return self.run
        run = (await self._server.call(self._path, method="GET")).get("active_run")
        return str(run) if run is not None else None


def _quoted(part: str) -> str:
    return quote(part, safe="")


def _session_path(id: str) -> str:  # noqa: A002
    return f"sessions/{_quoted(id)}"


@asynccontextmanager
async def connect(
    url: str,
    session: str,
    *,
    run: str | None = None,
    after: str | None = None,
    transport: Transport | Literal["auto"] = "auto",
    token: Shown | None = None,
    ticket: Shown | None = None,
    http: httpx.AsyncClient | None = None,
    on_lost: OnLost = warn,
) -> AsyncIterator[Session]:
    """Open a session. Inside the `async with`, of whatever happens no message is missed.

    Args:
        url: the server's address, as `http://localhost:8000`, with the path under which it is mounted.
        session: its id.
        run: follow this run alone, up to its end.
        after: begin strictly after this position; `0` replays everything. Without it, the run in progress from its
            beginning, and every later one (P3.4).
        transport: `auto` is WebSocket, or server-sent events where no WebSocket ever opened. A run is always followed
            by the latter.
        token: an API key or JWT, or a function (that may be async) which answers one. One that raises is asked again
            as after a lost connection, unless it raises `Refused`.
        ticket: the same, of what `POST /tickets` answered.
        http: the client that carries the requests, for certificates and proxies of your own.
        on_lost: told of each failed attempt before the next one; by default a warning of the logger `runcast.client`.

    Raises:
        Refused: there is no such session for this caller, or the position is malformed.
        ValueError: the address is none, or a run is to be followed over a WebSocket.
    """
    if run is not None and transport == "websocket":
        raise ValueError("a run is followed by server-sent events: there is no WebSocket for it")
    async with server(url, token, ticket, http, on_lost) as to:
        path = _session_path(session) + (f"/runs/{_quoted(run)}" if run is not None else "")
        by: Transport | Literal["auto"] = transport if run is None else "sse"
        follower = Follower(Stream(to, path, after), by, run is not None, on_lost)
        await follower.start()
        try:
            yield Session(to, session, run, after, follower)
        finally:
            await follower.close()


class Options(TypedDict, total=False):
    """What `connect` takes besides; it says what each is."""

    transport: Transport | Literal["auto"]
    token: Shown | None
    ticket: Shown | None
    http: httpx.AsyncClient | None
    on_lost: OnLost


async def follow(
    url: str, session: str, *, run: str | None = None, after: str | None = None, **options: Unpack[Options]
) -> AsyncGenerator[Message, None]:
    """The messages of a session, or of one run up to its end; `options` are those of `connect`.

    Raises:
        Refused: there is no such session or run for this caller, or the position is malformed.
    """
    async with connect(url, session, run=run, after=after, **options) as opened:
        async for message in opened:
            yield message


async def create_session(
    url: str,
    *,
    profile: str | None = None,
    title: str | None = None,
    token: Shown | None = None,
    http: httpx.AsyncClient | None = None,
    on_lost: OnLost = warn,
) -> str:
    """Create a session; its id.

    Raises:
        Refused: there is no such profile, or the caller is nobody.
        Unreachable: the connection broke before the answer; the session may be there.
    """
    body = {name: value for name, value in (("profile", profile), ("title", title)) if value is not None}
    async with server(url, token, None, http, on_lost) as to:
        return identity(await to.call("sessions", json=body, repeatable=False))
