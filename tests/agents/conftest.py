"""A model provider on loopback: scripted bytes over real HTTP, so that a cut connection is a real one."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from attrs import Factory, define

from app.agents.base import Turn
from app.agents.profile_tables import ModelTable
from app.events import Event

RECORDINGS = {path.name: path.read_bytes() for path in (Path(__file__).parent / "fixtures").glob("*.txt")}


@define
class Reply:
    """One answer: what is sent, and how it ends (`whole`, `cut` by a reset, `eof`, `hold` open)."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = Factory(dict)
    ending: str = "whole"
    chunked: bool = True


@define
class Provider:
    """The provider's side: `replies` are given in turn; `requests` holds the bodies that came in."""

    url: str = ""
    replies: list[Reply] = Factory(list)
    requests: list[dict[str, Any]] = Factory(list)
    headers: list[str] = Factory(list)
    left: asyncio.Event = Factory(asyncio.Event)

    def will_send(self, *names: str) -> None:
        self.replies += [Reply(RECORDINGS[name]) for name in names]

    def will_reply(self, body: bytes, **how: Any) -> None:
        self.replies.append(Reply(body, **how))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self._answer_one(reader, writer):
                pass
        writer.close()

    async def _answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(
            int(line.split(":")[1]) for line in head.splitlines() if line.lower().startswith("content-length")
        )
        self.headers.append(head)
        self.requests.append(json.loads(await reader.readexactly(length)))
        reply = self.replies.pop(0)
        kind = "text/event-stream" if reply.status == 200 else "application/json"
        coding = {"transfer-encoding": "chunked"} if reply.chunked else {"connection": "close"}
        headers = {"content-type": kind, **coding, **reply.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(f"HTTP/1.1 {reply.status} Scripted\r\n{lines}\r\n".encode())
        writer.write(b"%x\r\n%s\r\n" % (len(reply.body), reply.body) if reply.chunked else reply.body)
        await writer.drain()
        return await self._end(reply.ending, reader, writer)

    async def _end(self, ending: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        match ending:
            case "cut":
                writer.transport.abort()
            case "eof":
                writer.close()
            case "hold":
                with suppress(ConnectionError):
                    await reader.read(1)
                self.left.set()
            case _:
                writer.write(b"0\r\n\r\n")
                return True
        return False


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    provider = Provider()
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0)
    provider.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    async with server:
        yield provider
        server.close()


@pytest.fixture
def turn() -> Callable[..., Turn]:
    """Makes turns; only the content has to be said."""

    def make(content: str = "How warm is it in Paris?", **rest: Any) -> Turn:
        return Turn(**{"session_id": "s1", "run_id": "r1", "content": content, **rest})

    return make


@pytest.fixture
def collect() -> Callable[..., Any]:
    """Runs an agent to its end: everything that it said."""

    async def run(agent: Any, turn: Turn) -> list[Event | str]:
        async with asyncio.timeout(20):
            return [event async for event in agent.run_stream(turn)]

    return run


@pytest.fixture
async def agent(provider):
    """Makes model agents whose provider is ours."""
    pytest.importorskip("pydantic_ai", reason="the extra `agent` is not installed")
    from app.agents.pydantic_ai import ModelAgent  # noqa: PLC0415

    made: list[ModelAgent] = []

    def make(model: str = "openai:small-model", *, tools=(), subagents=(), **table: Any) -> ModelAgent:
        settings = {"max_retries": 0, **table.pop("settings", {})}
        url = provider.url.removesuffix("/v1") if model.startswith("anthropic") else provider.url
        made.append(
            ModelAgent(
                ModelTable(model=model, base_url=url, settings=settings, **table), tools=tools, subagents=subagents
            )
        )
        return made[-1]

    yield make
    for each in made:
        await each.aclose()
