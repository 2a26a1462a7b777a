"""What may happen to a Valkey or Redis server, or on the way to it, and what writers and readers then see."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import uvloop
from redis.exceptions import ConnectionError as LostConnection

from app.errors import Fenced, Gap, Lost, StoreUnavailable
from app.events import RunFailed, TextDelta
from app.runlog.archive import encode_archive
from app.runlog.archived import ArchivedLog
from app.runlog.redis.log import RedisLog
from app.runlog.redis.server import Server
from tests.runlog.relay import Relay
from tests.runlog.servers import REDIS, VALKEY, KeyServer
from tests.runlog.test_contract import ended, parked, read_all, seqs_of, words
from tests.runlog.test_redis import put_unheard, until

pytestmark = pytest.mark.anyio

QUICK = 0.05
LOST = RunFailed("internal_error", "the log of this run was lost")
SOON = 5.0
"""Seconds within which a loss is seen (with what is set by default)."""

Open = Callable[..., Awaitable[RedisLog]]


@pytest.fixture(params=[VALKEY, REDIS])
def server(request, start_server) -> KeyServer:
    return start_server(request.param)


@pytest.fixture
async def open_log(anyio_backend) -> AsyncIterator[Open]:
    opened: list[RedisLog] = []

    async def open_it(url: str, **options) -> RedisLog:
        opened.append(await RedisLog.open(url, **options))
        return opened[-1]

    yield open_it
    for log in opened:
        await log.close()


async def append_all(log: RedisLog, run_id: str, first: int, last: int) -> None:
    """As a run does it: one after the other, the last one closes."""
    for seq in range(first, last + 1):
        await log.append(run_id, seq, words(seq, seq), closed=seq == last)


@pytest.mark.faults
class TestAServerThatIsAway:
    async def test_one_that_pauses_for_three_seconds_costs_three_seconds(self, start_server, open_log) -> None:
        server = start_server(VALKEY)
        here, there = await open_log(server.url), await open_log(server.url)
        reader = asyncio.create_task(read_all(there, "r"))
        await here.append("r", 1, words(1, 3))
        server.pause()
        writer = asyncio.create_task(append_all(here, "r", 4, 40))
        await asyncio.sleep(3)  # the time itself is what is tried
        assert not writer.done()
        server.resume()

        await writer
        assert await reader == list(range(1, 41))

    async def test_what_is_sent_again_while_it_pauses_is_appended_once(self, server, open_log) -> None:
        log = await open_log(server.url, timeout=0.1)
        runs = [f"r{number}" for number in range(20)]
        await asyncio.gather(*(log.append(run, 1, words(1, 2)) for run in runs))
        server.pause()
        writers = [asyncio.create_task(append_all(log, run, 3, 12)) for run in runs]
        await asyncio.sleep(1)  # some ten times are sent again
        server.resume()

        await asyncio.gather(*writers)
        for run in runs:
            assert await read_all(log, run) == list(range(1, 13))
            assert server.ask("XLEN", f"runcast:{{{run}}}") == b":11\r\n"

    async def test_what_was_acknowledged_before_a_kill_is_there_after_it(self, start_server, open_log) -> None:
        server = start_server(VALKEY, "--appendonly", "yes", "--appendfsync", "always")
        here, there = await open_log(server.url), await open_log(server.url)
        reader = asyncio.create_task(read_all(there, "r"))
        await here.append("r", 1, words(1, 3))
        writer = asyncio.create_task(append_all(here, "r", 4, 400))
        async with asyncio.timeout(5):
            while (await there.read("r", 0, 1)).tail < 50:
                await there.wait("r", (await there.read("r", 0, 1)).tail)
        server.kill()
        assert not writer.done()
        server.start()

        await writer
        assert await reader == list(range(1, 401))

    async def test_one_that_stays_away_fails_an_append_which_may_be_tried_again(self, server, open_log) -> None:
        log = await open_log(server.url, patience=0.2)
        await log.append("r", 1, words(1, 3))
        server.kill()

        with pytest.raises(StoreUnavailable, match=r"redis://127.0.0.1:\d+/0 can't be reached"):
            await log.append("r", 4, words(4, 4))
        with pytest.raises(StoreUnavailable):
            await log.check()

    async def test_a_subscription_that_is_cut_loses_nothing(self, server, open_log) -> None:
        here, there = await open_log(server.url, look_every=60), await open_log(server.url, look_every=60)
        reader = asyncio.create_task(read_all(there, "r"))
        for seq in range(1, 101):
            if seq % 10 == 0:
                server.ask("CLIENT", "KILL", "TYPE", "pubsub")
            await here.append("r", seq, words(seq, seq), closed=seq == 100)

        assert await reader == list(range(1, 101))

    async def test_what_was_appended_unheard_is_found(self, server, open_log) -> None:
        log = await open_log(server.url, look_every=QUICK)
        await log.append("other", 1, words(1, 1))
        waiter = await parked(log, "r", 0)
        put_unheard(server, "runcast:{r}", 1)

        assert await ended(waiter) == [True]
        assert await read_all(log, "r") == [1]


class TestAnAnswerThatIsLost:
    async def test_an_append_is_carried_out_once(self, server, open_log) -> None:
        async with Relay.to(server.port) as relay:
            log = await open_log(relay.url, timeout=0.2)
            await log.append("r", 1, words(1, 3))
            relay.mute = True
            append = asyncio.create_task(log.append("r", 4, words(4, 6)))
            later = asyncio.create_task(log.append("r", 7, words(7, 7), closed=True))
            async with asyncio.timeout(5):
                while server.ask("XLEN", "runcast:{r}") != b":3\r\n":  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(0.01)
            relay.mute = False
            relay.cut()

            await asyncio.gather(append, later)
            assert await read_all(log, "r") == [1, 2, 3, 4, 5, 6, 7]
            assert server.ask("XLEN", "runcast:{r}") == b":3\r\n"
            await log.close()

    async def test_whoever_was_told_that_it_failed_may_do_it_again(self, server, open_log) -> None:
        async with Relay.to(server.port) as relay:
            log = await open_log(relay.url, timeout=0.1, patience=0.1)
            await log.append("r", 1, words(1, 3))
            relay.mute = True
            with pytest.raises(StoreUnavailable):
                await log.append("r", 4, words(4, 6))
            assert server.ask("XLEN", "runcast:{r}") == b":2\r\n"
            relay.mute = False
            relay.cut()

            await log.append("r", 4, words(4, 6))
            with pytest.raises(Fenced):
                await log.append("r", 4, words(4, 6))
            await log.append("r", 7, words(7, 7), closed=True)
            assert await read_all(log, "r") == [1, 2, 3, 4, 5, 6, 7]
            await log.close()


@pytest.mark.faults
class TestAServerThatIsFull:
    async def test_appends_wait_for_room_and_everything_is_still_read(self, server, open_log) -> None:
        log, other = await open_log(server.url), await open_log(server.url)
        await log.append("r", 1, words(1, 3))
        await log.check()
        server.ask("CONFIG", "SET", "maxmemory", "1000000")

        with pytest.raises(StoreUnavailable, match=r"refused: .*maxmemory"):
            await log.append("r", 4, words(4, 4))
        with pytest.raises(StoreUnavailable, match="maxmemory"):
            await log.check()
        assert seqs_of(await other.read("r", 0, 10)) == [1, 2, 3]
        await log.drop("another")

        server.ask("CONFIG", "SET", "maxmemory", "0")
        await log.check()
        await log.append("r", 4, words(4, 4), closed=True)
        assert await read_all(other, "r") == [1, 2, 3, 4]


@pytest.mark.faults
class TestALogThatIsLost:
    async def test_a_reader_that_waits_is_woken_soon_and_finds_a_gap(self, start_server, open_log) -> None:
        server = start_server(VALKEY)
        here, there = await open_log(server.url), await open_log(server.url)
        await here.append("r", 1, words(1, 3))
        waiter = await parked(there, "r", 3)
        server.ask("FLUSHALL")
        began = time.monotonic()

        assert await asyncio.wait_for(waiter, 2 * SOON)
        assert time.monotonic() - began < SOON
        with pytest.raises(Gap) as caught:
            await there.read("r", 3, 10)
        assert caught.value.latest == 0

    async def test_its_writer_is_told_and_can_only_close_it(self, server, open_log) -> None:
        told: asyncio.Queue[tuple[str, int, int]] = asyncio.Queue()
        log = await open_log(server.url, look_every=QUICK, lost=lambda *what: told.put_nowait(what))
        await log.append("r", 1, words(1, 3))
        await log.append("fine", 1, words(1, 3))
        server.ask("DEL", "runcast:{r}")

        assert await asyncio.wait_for(told.get(), 5) == ("r", 3, 0)
        with pytest.raises(Lost, match="an append at 4, but the log is at 0"):
            await log.append("r", 4, words(4, 4))
        await log.append("fine", 4, words(4, 4))
        await log.append("r", 4, [LOST], closed=True)
        with pytest.raises(Fenced):
            await log.append("r", 5, words(5, 5))
        assert told.empty()

    async def test_who_had_seen_everything_gets_the_terminal_and_nobody_a_silent_hole(self, server, open_log) -> None:
        here, there = [await open_log(server.url, look_every=0.5) for _ in range(2)]
        await here.append("r", 1, words(1, 3))
        waiters = [await parked(here, "r", 3), await parked(there, "r", 3)]
        server.ask("FLUSHALL")
        await here.append("r", 4, [TextDelta("4"), LOST], closed=True)

        assert await ended(*waiters) == [True, True]
        newcomer = await open_log(server.url)
        for log in (here, there, newcomer):
            page = await log.read("r", 3, 10)
            assert [entry.event for entry in page.entries] == [TextDelta("4"), LOST]
            assert (page.tail, page.closed) == (5, True)
            assert not await log.wait("r", 5)
        for after in (0, 1, 2, 6):
            with pytest.raises(Gap) as caught:
                await newcomer.read("r", after, 10)
            assert (caught.value.earliest, caught.value.latest) == (4, 5)

    async def test_what_is_left_of_it_is_archived_in_its_place(self, server, open_log, shelf) -> None:
        here = await open_log(server.url)
        await here.append("r", 1, words(1, 3))
        server.ask("FLUSHALL")
        await here.append("r", 4, [LOST], closed=True)
        archived = ArchivedLog(await open_log(server.url), shelf)

        await archived.archive("r")

        assert server.ask("DBSIZE") == b":0\r\n"
        assert seqs_of(await archived.read("r", 3, 10)) == [4]
        with pytest.raises(Gap) as caught:
            await archived.read("r", 2, 10)
        assert (caught.value.earliest, caught.value.latest) == (4, 4)

    async def test_one_that_came_and_went_to_the_archive_unheard_is_found_there(self, server, open_log, shelf) -> None:
        here = ArchivedLog(await open_log(server.url, look_every=QUICK), shelf, shared=True)
        waiters = [asyncio.create_task(here.wait("r", 0)) for _ in range(3)]
        await until(lambda: b"runcast:{r}:live" in server.ask("PUBSUB", "CHANNELS"))
        await asyncio.wait(waiters, timeout=2 * QUICK)
        assert not any(waiter.done() for waiter in waiters)
        await shelf.put_archive("r", encode_archive(words(1, 3)))

        assert await asyncio.wait_for(asyncio.gather(*waiters), SOON) == [True] * 3
        assert seqs_of(await here.read("r", 0, 10)) == [1, 2, 3]

    async def test_another_log_of_the_same_length_in_its_place_is_a_gap(self, server, open_log) -> None:
        here, there = await open_log(server.url), await open_log(server.url, look_every=QUICK)
        await here.append("r", 1, words(1, 3))
        waiter = await parked(there, "r", 3)
        stranger = await open_log(server.url)
        server.ask("DEL", "runcast:{r}")
        await stranger.append("r", 1, [TextDelta("not"), TextDelta("the"), TextDelta("same")])

        with pytest.raises(Gap):
            await asyncio.wait_for(waiter, 5)
        with pytest.raises(Fenced):
            await here.append("r", 4, words(4, 4), closed=True)

    async def test_a_hole_in_the_stream_is_a_gap_and_never_skipped(self, server, open_log) -> None:
        here, there = await open_log(server.url), await open_log(server.url)
        for first in (1, 4, 7):
            await here.append("r", first, words(first, first + 2))
        server.ask("XDEL", "runcast:{r}", "4-0")

        assert seqs_of(await there.read("r", 1, 100)) == [2, 3]
        for after in (3, 4, 5):
            with pytest.raises(Gap) as caught:
                await there.read("r", after, 100)
            assert (caught.value.earliest, caught.value.latest) == (7, 9)
        assert seqs_of(await there.read("r", 6, 100)) == [7, 8, 9]

    async def test_what_a_replica_lacks_that_takes_over_is_never_skipped(self, start_server, open_log) -> None:
        master, replica = start_server(VALKEY, "--repl-diskless-sync-delay", "0"), start_server(VALKEY)
        told: asyncio.Queue[tuple[str, int, int]] = asyncio.Queue()
        async with Relay.to(master.port) as relay:
            here = await open_log(relay.url, look_every=0.5, lost=lambda *what: told.put_nowait(what))
            there = await open_log(relay.url, look_every=0.5)
            await here.append("r", 1, words(1, 3))
            await here.append("short", 1, words(1, 3))
            replica.ask("REPLICAOF", "127.0.0.1", str(master.port))
            await until(lambda: replica.ask("EXISTS", "runcast:{r}", "runcast:{short}") == b":2\r\n")
            replica.ask("REPLICAOF", "NO", "ONE")  # from here on it lags
            await here.append("r", 4, words(4, 6))
            waiters = [await parked(there, "r", 6), await parked(there, "short", 3)]
            relay.target = replica.port
            master.kill()
            relay.cut()

            assert await asyncio.wait_for(told.get(), 5) == ("r", 6, 3)
            await here.append("r", 7, [LOST], closed=True)
            await here.append("short", 4, words(4, 4), closed=True)

            assert await ended(*waiters) == [True, True]
            assert seqs_of(await there.read("r", 6, 10)) == [7]
            assert await read_all(there, "short") == [1, 2, 3, 4]
            newcomer = await open_log(relay.url)
            with pytest.raises(Gap) as caught:
                await newcomer.read("r", 3, 10)
            assert (caught.value.earliest, caught.value.latest) == (7, 7)
            for log in (here, there, newcomer):
                await log.close()

    async def test_a_replica_that_is_none_any_more_is_waited_for(self, start_server, open_log) -> None:
        server = start_server(VALKEY)
        log = await open_log(server.url)
        await log.append("r", 1, words(1, 3))
        server.ask("REPLICAOF", "127.0.0.1", "1")
        append = asyncio.create_task(log.append("r", 4, words(4, 4)))
        await asyncio.wait({append}, timeout=0.3)
        assert not append.done()
        server.ask("REPLICAOF", "NO", "ONE")

        await append
        assert seqs_of(await log.read("r", 0, 10)) == [1, 2, 3, 4]


def test_a_connection_that_uvloop_has_closed_is_lost_and_no_fault_of_ours(valkey: KeyServer) -> None:
    async def send_into_the_void() -> None:
        wire = await Server(valkey.url).connect()
        wire._connection._writer.transport.abort()
        await asyncio.sleep(0)
        try:
            with pytest.raises(LostConnection):
                await wire.send([("PING",)])
        finally:
            await wire.close()

    uvloop.run(send_into_the_void())
