"""Requests that follow one another on a connection, however their bytes are cut into pieces."""

import asyncio
from typing import Any

import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from app.server.http_protocol import HttpProtocol
from tests.gateway import Gateway
from tests.raw_http import PATIENCE, request
from tests.server.test_http_protocol import LINE, answer_to, connected, is_refusal

pytestmark = pytest.mark.anyio

JSON = "content-type: application/json"
CHUNKS = "transfer-encoding: chunked"


def post(gateway: Gateway, body: bytes, *headers: str) -> bytes:
    return request(gateway, "/sessions", JSON, f"content-length: {len(body)}", *headers, method="POST", body=body)


def in_chunks(gateway: Gateway, body: bytes) -> bytes:
    half = len(body) // 2
    framed = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:half], body[half:], b""))
    return request(gateway, "/sessions", JSON, CHUNKS, method="POST", body=framed)


@pytest.mark.parametrize("send", [post, in_chunks])
async def test_what_begins_in_the_same_piece_as_a_long_body_ends_is_a_request_like_any_other(
    gateway: Gateway, send: Any
) -> None:
    first = send(gateway, b'{"title": "a"%s}' % (b" " * 200_000))
    second = send(gateway, b'{"title": "b"}')
    async with connected(gateway) as (reader, writer), asyncio.timeout(PATIENCE):
        writer.write(first + second[:-4])
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 201")
        await reader.readuntil(b"}")
        writer.write(second[-4:])

        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 201")


async def test_a_client_whose_long_body_was_answered_early_may_go_on_on_its_connection(gateway: Gateway) -> None:
    refused = request(gateway, "/nowhere", JSON, "content-length: 200000", method="POST", body=b" " * 200_000)
    second = post(gateway, b'{"title": "b"}')
    async with connected(gateway) as (reader, writer), asyncio.timeout(PATIENCE):
        writer.write(refused[:1000])
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 404")
        await reader.readuntil(b"}")
        writer.write(refused[1000:] + second)

        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 201")


@pytest.mark.parametrize("before", ["body", "chunks", "head"])
async def test_a_head_that_is_too_long_is_refused_behind_whatever_it_comes(gateway: Gateway, before: str) -> None:
    first = {"body": post(gateway, b"{}"), "chunks": in_chunks(gateway, b"{}"), "head": LINE + b"\r\n"}[before]

    answer = await answer_to(gateway, first + LINE + b"x: " + b"a" * 40_000 + b"\r\n\r\n")

    assert is_refusal(answer[answer.index(b"HTTP/1.1 431") :], 431, "too_large")


async def test_it_does_not_matter_where_the_bytes_of_requests_are_cut() -> None:
    bodies = [b"", b"a\r\n\r\nb", b"\r\n\r\n", b"\n\n\r\n", b"c"]
    stream = b"\r\n\r\n".join(  # blank lines before a request are to be ignored (RFC 9112, 2.2)
        [
            LINE + b"\r\n",
            LINE.replace(b"GET", b"POST") + b"content-length: 6\r\n\r\n" + bodies[1],
            LINE.replace(b"GET", b"POST") + CHUNKS.encode() + b"\r\n\r\n4\r\n\r\n\r\n\r\n0\r\n\r\n",
            LINE.replace(b"GET", b"POST") + CHUNKS.encode() + b"\r\n\r\n4\r\n\n\n\r\n\r\n0\r\ntrailer: 1\r\n\r\n",
            LINE.replace(b"GET", b"POST") + b"content-length: 1\r\n\r\n" + bodies[4],
        ]
    )
    for cut in range(len(stream)):
        assert await bodies_of([stream[:cut], stream[cut:]]) == bodies
    assert await bodies_of([stream[at : at + 1] for at in range(len(stream))]) == bodies


async def bodies_of(pieces: list[bytes]) -> list[bytes]:
    """The bodies that an application gets of pieces that a connection brings one by one."""
    got: list[bytes] = []

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        whole, more = b"", True
        while more:
            message = await receive()
            whole, more = whole + message["body"], message["more_body"]
        got.append(whole)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    refusals: list[str] = []
    config = Config(app, access_log=False, log_config=None)
    config.load()
    protocol = HttpProtocol(config, ServerState(), {}, refused=refusals.append)
    transport = _Transport()
    protocol.connection_made(transport)
    for piece in pieces:
        protocol.data_received(piece)
    async with asyncio.timeout(PATIENCE):
        while protocol.tasks:
            await asyncio.gather(*protocol.tasks)
            await asyncio.sleep(0)
    protocol.connection_lost(None)
    assert not refusals
    return got


class _Transport(asyncio.Transport):
    """A peer that takes everything."""

    def is_closing(self) -> bool:
        return False

    def write(self, data: Any) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass
