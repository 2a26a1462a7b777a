"""kill -9 in the middle of a run: nothing that anybody saw is taken back, and the run ends (P7.1, P7.2)."""

import asyncio
import logging
import os
import random

import httpx
import pytest
from httpx_sse import SSEError
from websockets.exceptions import ConnectionClosed

from tests.gateway import Gateway, Launch, every_event, new_session, start
from tests.watching import PATIENCE, Item, Watch, logged, position, rise, story, watch

pytestmark = pytest.mark.anyio

log = logging.getLogger(__name__)

ROUNDS = 20
TRANSPORTS = ("ws", "sse")
BROKEN = (ConnectionClosed, httpx.TransportError, SSEError)


class Witness:
    """A viewer that remembers what it saw until its connection broke."""

    def __init__(self, gateway: Gateway, transport: str, session: str) -> None:
        self.transport = transport
        self.seen: list[Item] = []
        self.attached = asyncio.Event()
        self._grown = asyncio.Event()
        self._watch = watch(gateway, transport, session)

    async def look(self) -> None:
        with pytest.raises(BROKEN):
            async with self._watch as viewer:
                await self._take_all(viewer)

    async def _take_all(self, viewer: Watch) -> None:
        while True:
            item = await viewer.next()
            self.attached.set()
            self.seen += logged([item])
            self._grown.set()

    async def has_seen(self, count: int) -> None:
        while len(self.seen) < count:
            self._grown.clear()
            await self._grown.wait()


async def run_until_killed(gateway: Gateway, session: str, chance: random.Random) -> tuple[str, list[Witness]]:
    """Follow a run over both transports and kill the server at some moment of it."""
    witnesses = [Witness(gateway, transport, session) for transport in TRANSPORTS]
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group, gateway.client() as http:
        for witness in witnesses:
            group.create_task(witness.look())
            await witness.attached.wait()
        run = await start(http, session, f"/length 300 /rate {chance.randint(200, 500)} what is seen is kept")
        await chance.choice(witnesses).has_seen(chance.choice((0, 1, chance.randint(2, 150))))
        gateway.kill()
    return run, witnesses


async def check(gateway: Gateway, session: str, run: str, witnesses: list[Witness]) -> None:
    async with gateway.client() as http:
        log = [Item.of(raw) for raw in await every_event(http, session, run)]
        row = (await http.get(f"/sessions/{session}/runs/{run}")).json()
        again = await start(http, session, "/quiet /length 3 /rate 0")
        rerun = [Item.of(raw) for raw in await every_event(http, session, again)]
    raw = {item.raw for item in log}

    assert [item.type for item in log if item.is_terminal] == ["error"]
    assert log[-1].message["code"] == "run_interrupted"
    assert (row["status"], row["error"]["code"], row["position"]) == ("interrupted", "run_interrupted", log[-1].id)
    assert rerun[-1].type == "stream_end"
    for witness in witnesses:
        seen = witness.seen
        last = position(str(seen[-1].id)) if seen else (1, 0)
        kept = [item for item in log if position(str(item.id)) <= last]
        assert rise(seen)
        assert story(seen) == story(kept)
        assert {item.raw for item in seen if "delta" not in item.message} <= raw
        async with watch(gateway, witness.transport, session, seen[-1].id if seen else "0") as viewer:
            rest = await viewer.until_type("caught_up")
        assert story(logged(rest)) == story(log[len(kept) :] + rerun)


@pytest.mark.slow
@pytest.mark.timeout(400)  # as many starts as rounds
async def test_what_was_seen_before_a_kill_is_in_the_log_after_it(launch: Launch) -> None:
    seed = int(os.environ.get("FAULT_SEED", str(random.SystemRandom().randrange(1 << 32))))
    log.warning("FAULT_SEED=%d", seed)
    chance = random.Random(seed)
    gateway = launch()
    seen = 0
    for number in range(ROUNDS):
        async with gateway.client() as http:
            session = await new_session(http)
        run, witnesses = await run_until_killed(gateway, session, chance)
        gateway.start()
        log.warning("round %d: %s messages seen", number, [len(witness.seen) for witness in witnesses])
        await check(gateway, session, run, witnesses)
        seen += sum(len(witness.seen) for witness in witnesses)

    assert seen > ROUNDS
