"""A connection is reset at most once, and no harm is done if somebody closed it before."""

import asyncio

import pytest
import uvloop

from app.server.offers import offers


async def cut_twice() -> tuple[int, BaseException | None]:
    accepted: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()
    server = await asyncio.start_server(lambda _, writer: accepted.set_result(writer), "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        transport = (await accepted).transport
        abort = offers(transport)["abort"]
        abort()
        error = None
        try:
            await reader.read()
        except ConnectionResetError as reset:
            error = reset
        writer.close()
        abort()
        return transport.get_extra_info("socket").fileno(), error


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_a_connection_that_is_closed_already_is_not_reset_again(run):
    fileno, error = run(cut_twice())
    assert fileno < 0
    assert isinstance(error, ConnectionResetError)
