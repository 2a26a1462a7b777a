"""A network that loses packets, or everything: the server lets go of who is gone, and whoever comes back resumes."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from tests.gateway import Gateway, Launch, every_event, new_session, start
from tests.network import Network, network, peers, port_of
from tests.watching import Item, Watch, all_closed, rise, story, watch, watch_sse, watch_ws

__all__ = ["network"]

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("network")]

SEND_TIMEOUT = 1
FREED = SEND_TIMEOUT + 6 + 2
"""Seconds until a viewer that vanished is let go: the kernel waits six longer than the server, then it looks."""


class Cut:
    """A viewer whose cable will be pulled: what it saw until then."""

    def __init__(self, transport: str, session: str, viewer: Watch) -> None:
        self.transport = transport
        self.session = session
        self.viewer = viewer
        self.seen: list[Item] = []


@asynccontextmanager
async def attached(gateway: Gateway, sessions: Sequence[str]) -> AsyncIterator[list[Cut]]:
    """Viewers over both transports, who will not be missed by a server that waits for their goodbye."""
    async with AsyncExitStack() as stack:
        cut = []
        for session in sessions:
            socket = await stack.enter_async_context(watch_ws(gateway, session, close_timeout=0))
            events = await stack.enter_async_context(watch_sse(gateway, f"/sessions/{session}/events"))
            cut += [Cut("ws", session, socket), Cut("sse", session, events)]
        yield cut


@pytest.mark.slow
async def test_viewers_that_vanish_are_let_go_and_resume_when_they_are_back(launch: Launch, network: Network) -> None:
    """Rows 8 and 21: the network is cut, in the middle of a run or while nothing is said."""
    gateway = launch(agent="faulty:agent", send_timeout=str(SEND_TIMEOUT))
    async with gateway.client() as http, watch_ws(gateway, busy := await new_session(http)) as witness:
        idle = await new_session(http)
        run = await start(http, busy, "tick 100000")
        before = peers(gateway)
        async with attached(gateway, [busy, busy, idle, idle]) as cut:
            for one in cut:
                kind = "stream_delta" if one.session == busy else "caught_up"
                one.seen += await one.viewer.until_type(kind)
            network.lose_all(*(peers(gateway) - before))
            open_sockets = gateway.open_sockets
            began = time.monotonic()
            await all_closed(gateway, open_sockets - len(cut))
            took = time.monotonic() - began
        await start(http, idle, "count 3")
        await http.post(f"/sessions/{busy}/runs/{run}/cancel")
        seen = await witness.until_terminal()
        log = [Item.of(raw) for raw in await every_event(http, busy, run)]

    assert took < FREED
    assert story(seen) == story(log)
    for one in cut:
        async with watch(gateway, one.transport, one.session, resume_at(one.seen)) as viewer:
            rest = await viewer.until_terminal()
        assert rise(one.seen + rest)
        if one.session == busy:
            assert story(one.seen + rest) == story(log)
        else:
            assert story(rest)[-1]["content"] == "0 1 2 "


def resume_at(seen: list[Item]) -> str:
    return next(str(item.id or item.message["position"]) for item in reversed(seen))


@pytest.mark.slow
async def test_a_network_that_loses_every_third_packet_only_makes_it_slower(launch: Launch, network: Network) -> None:
    """Row 9: packet loss of 30 %."""
    gateway = launch(agent="faulty:agent")
    async with gateway.client() as http:
        session = await new_session(http)
        async with watch_ws(gateway, session) as socket, watch_sse(gateway, f"/sessions/{session}/events") as events:
            run = await start(http, session, "tick 100")
            network.lose(0.3, port_of(gateway))
            by_socket, by_events = await asyncio.gather(socket.until_terminal(), events.until_terminal())
            network.mend()
        log = [Item.of(raw) for raw in await every_event(http, session, run)]

    assert story(by_socket) == story(by_events) == story(log)
    assert rise(by_socket)
    assert rise(by_events)
