"""RedisLog beyond the port: what several processes see of one server, and what they leave there.

Two RedisLogs here are what two processes have: they share nothing but the server.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable

import pytest
from structlog.testing import capture_logs

from app.errors import ConfigurationError, Fenced, Gap, StoreUnavailable
from app.measures import Measures
from app.runlog.archive import encode_archive, trim_archive
from app.runlog.archived import ArchivedLog
from app.runlog.cursor import Cursor
from app.runlog.redis.log import RedisLog
from app.runlog.redis.server import Server
from tests.runlog.servers import REDIS, VALKEY, KeyServer, free_port
from tests.runlog.test_contract import ended, parked, read_all, seqs_of, words

pytestmark = pytest.mark.anyio

QUICK = 0.05
"""Seconds between looks, where a test waits for one."""


@pytest.fixture(params=["valkey", "debians_redis"])
def server(request) -> KeyServer:
    return request.getfixturevalue(request.param)


@pytest.fixture
async def views(server, prefix, anyio_backend) -> AsyncIterator[tuple[RedisLog, RedisLog]]:
    opened = [await RedisLog.open(server.url, prefix=prefix, look_every=QUICK) for _ in range(2)]
    yield opened[0], opened[1]
    for log in opened:
        await log.close()


@pytest.fixture
def servers(start_server) -> list[KeyServer]:
    return [start_server(VALKEY), start_server(REDIS)]


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not reached():  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.01)


def put_unheard(server: KeyServer, key: str, seq: int, *, closed: bool = True) -> None:
    """Append as another process would, but without publishing it."""
    body = f'[["t",{{"delta":"{seq}","part":"","agent":null}}]]'
    server.ask("XADD", key, f"{seq}-0", "n", "1", "m", "somebody1", "c", str(int(closed)), "b", body)


class TestTwoProcesses:
    async def test_what_one_appends_the_other_reads(self, views) -> None:
        here, there = views
        await here.append("r", 1, words(1, 5))
        await here.append("r", 6, words(6, 6), closed=True)

        page = await there.read("r", 2, 10)
        assert (seqs_of(page), page.tail, page.closed) == ([3, 4, 5, 6], 6, True)

    async def test_whoever_waits_is_told_at_once(self, server, prefix) -> None:
        here, there = [await RedisLog.open(server.url, prefix=prefix, look_every=60) for _ in range(2)]
        waiter = await parked(there, "r", 0)
        await here.append("r", 1, words(1, 3))
        assert await ended(waiter) == [True]

        waiter = await parked(there, "r", 3)
        await here.append("r", 4, words(4, 4), closed=True)
        assert await ended(waiter) == [True]
        assert not await there.wait("r", 4)
        await here.close()
        await there.close()

    async def test_a_hundred_readers_in_one_process_are_one_connection(self, views, server, prefix) -> None:
        here, there = views
        readers = [asyncio.create_task(read_all(there, f"r{number % 10}")) for number in range(100)]
        for number in range(10):
            (await parked(there, f"r{number}", 0)).cancel()

        await until(lambda: server.ask("CLIENT", "LIST", "TYPE", "pubsub").count(b"id=") == len(views))
        assert server.ask("PUBSUB", "NUMSUB", f"{prefix}{{r1}}:live").endswith(b":1\r\n")
        for number in range(10):
            await here.append(f"r{number}", 1, words(1, 40))
            await here.append(f"r{number}", 41, words(41, 50), closed=True)
        assert await asyncio.gather(*readers) == [list(range(1, 51))] * 100

    async def test_a_run_that_nobody_waits_for_is_heard_of_no_more(self, views, server, prefix) -> None:
        here, there = views
        (await parked(there, "r", 0)).cancel()
        assert b"{r}" in server.ask("PUBSUB", "CHANNELS", f"{prefix}*")

        await until(lambda: b"{r}" not in server.ask("PUBSUB", "CHANNELS", f"{prefix}*"))

        waiter = await parked(there, "r", 0)
        await here.append("r", 1, words(1, 1))
        assert await ended(waiter) == [True]

    async def test_a_process_does_not_listen_to_its_own_words(self, server, prefix) -> None:
        log = await RedisLog.open(server.url, prefix=prefix, look_every=QUICK)
        reader = asyncio.create_task(read_all(log, "r"))
        (await parked(log, "r", 0)).cancel()
        assert b"{r}" in server.ask("PUBSUB", "CHANNELS", f"{prefix}*")
        await log.append("r", 1, words(1, 3))

        await until(lambda: b"{r}" not in server.ask("PUBSUB", "CHANNELS", f"{prefix}*"))

        await log.append("r", 4, words(4, 4), closed=True)
        assert await reader == [1, 2, 3, 4]
        await log.close()

    async def test_of_two_writers_one_wins_and_the_other_learns_of_it_before_it_tries_again(self, views) -> None:
        here, there = views
        await here.append("r", 1, words(1, 3))
        waiter = await parked(here, "r", 3)

        await there.append("r", 4, words(4, 4), closed=True)

        assert await ended(waiter) == [True]
        assert await read_all(here, "r") == [1, 2, 3, 4]
        with pytest.raises(Fenced):
            await here.append("r", 4, words(4, 4))
        assert not await here.wait("r", 4)

    async def test_a_writer_is_told_of_another_without_having_to_look(self, server, prefix) -> None:
        here, there = [await RedisLog.open(server.url, prefix=prefix, look_every=60) for _ in range(2)]
        await here.append("r", 1, words(1, 3))
        waiter = await parked(here, "r", 3)

        await there.append("r", 4, words(4, 4))

        assert await ended(waiter) == [True]
        waiter = await parked(here, "r", 4)
        await there.append("r", 5, words(5, 5), closed=True)
        assert await ended(waiter) == [True]
        assert await read_all(here, "r") == [1, 2, 3, 4, 5]
        await here.close()
        await there.close()

    async def test_a_writer_that_is_refused_knows_nothing_any_more_and_reads_what_there_is(
        self, server, prefix
    ) -> None:
        log = await RedisLog.open(server.url, prefix=prefix, look_every=60)
        (await parked(log, "other", 0)).cancel()  # its first look, when it had connected, is over
        await log.append("r", 1, words(1, 3))
        put_unheard(server, f"{prefix}{{r}}", 4)

        with pytest.raises(Fenced):
            await log.append("r", 4, words(8, 8))

        assert await read_all(log, "r") == [1, 2, 3, 4]
        await log.close()

    async def test_a_message_that_does_not_follow_from_what_was_known_is_no_news(self, server, prefix) -> None:
        here, there = [await RedisLog.open(server.url, prefix=prefix, look_every=60) for _ in range(2)]
        await here.append("r", 1, words(1, 3))
        waiter, barrier = await parked(there, "r", 3), await parked(there, "other", 0)
        server.ask("DEL", f"{prefix}{{r}}")
        put_unheard(server, f"{prefix}{{r}}", 3, closed=False)
        stranger = await RedisLog.open(server.url, prefix=prefix)

        await stranger.append("r", 4, words(4, 4))
        await stranger.append("other", 1, words(1, 1))

        assert await ended(barrier) == [True]
        assert not waiter.done()
        waiter.cancel()
        for log in (here, there, stranger):
            await log.close()

    async def test_writers_may_take_turns(self, views) -> None:
        reader = asyncio.create_task(read_all(views[1], "r"))
        for seq in range(1, 41):
            await views[seq % 2].append("r", seq, words(seq, seq), closed=seq == 40)

        assert await reader == list(range(1, 41))
        assert await read_all(views[0], "r") == list(range(1, 41))

    async def test_a_log_that_one_drops_wakes_those_who_wait_in_the_other(self, views) -> None:
        here, there = views
        await here.append("r", 1, words(1, 3))
        waiters = [await parked(there, "r", 3), await parked(here, "r", 3)]

        await there.drop("r")

        await ended(*waiters)
        for log in views:
            with pytest.raises(Gap):
                await log.read("r", 3, 10)

    async def test_what_is_known_of_a_closed_log_is_forgotten_when_another_has_trimmed_it(
        self, views, server, prefix, shelf
    ) -> None:
        here, there = [ArchivedLog(view, shelf, shared=True) for view in views]
        waiter = await parked(there, "r", 0)
        await here.append("r", 1, words(1, 4), closed=True)
        assert await ended(waiter) == [True]
        shelf.bodies["r"] = trim_archive(encode_archive(words(1, 4)))
        server.ask("DEL", f"{prefix}{{r}}")  # as a drop that one of them did not hear of
        assert seqs_of(await there.read("r", 0, 10)) == [1, 2, 3, 4]

        there.heed_trims(["r"])

        with pytest.raises(Gap) as caught:
            await there.read("r", 0, 10)
        assert (caught.value.earliest, caught.value.latest) == (4, 4)

    @pytest.mark.parametrize("seed", range(6))
    async def test_whatever_is_done_in_whatever_order_every_reader_sees_a_plain_list(self, views, seed) -> None:
        chance = random.Random(seed)
        tails = dict.fromkeys(("a", "b", "c"), 0)
        readers = {run: [asyncio.create_task(read_all(log, run, limit=7)) for log in views] for run in tails}
        for _ in range(120):
            run, log = chance.choice(list(tails)), chance.choice(views)
            count, tail = chance.randint(1, 9), tails[run]
            match chance.randrange(4):
                case 0:
                    after = chance.randint(0, tail)
                    # Another process may have appended just now; then a part is as good as the whole.
                    seqs = seqs_of(await log.read(run, after, 10))
                    assert seqs == list(range(after + 1, after + 1 + len(seqs)))
                case 1:
                    with pytest.raises(Fenced):
                        await log.append(run, chance.choice([tail, tail + 2]), words(1, count))
                case _:
                    await log.append(run, tail + 1, words(tail + 1, tail + count))
                    tails[run] += count
        for run, tail in tails.items():
            await chance.choice(views).append(run, tail + 1, words(tail + 1, tail + 1), closed=True)

        for run, tail in tails.items():
            late = [asyncio.create_task(read_all(log, run, limit=5)) for log in views]
            assert await asyncio.gather(*readers[run], *late) == [list(range(1, tail + 2))] * 4

    async def test_a_reader_that_is_behind_pages_through_a_long_log(self, views) -> None:
        here, there = views
        for first in range(1, 5001, 10):
            await here.append("r", first, words(first, first + 9), closed=first == 4991)

        assert await read_all(there, "r", limit=512) == list(range(1, 5001))
        assert await read_all(there, "r", after=4321, limit=100) == list(range(4322, 5001))


class TestTheServer:
    async def test_no_key_stays_for_ever(self, server, prefix) -> None:
        log = await RedisLog.open(server.url, prefix=prefix, open_ttl=1000, closed_ttl=10)
        await log.append("open", 1, words(1, 3))
        await log.append("closed", 1, words(1, 3))
        await log.append("closed", 4, words(4, 4), closed=True)

        def left(run_id: str) -> int:
            return int(server.ask("PTTL", f"{prefix}{{{run_id}}}")[1:])

        assert 900_000 < left("open") <= 1_000_000
        assert 1_000 < left("closed") <= 10_000
        assert server.ask("KEYS", f"{prefix}*").startswith(b"*2\r\n")
        await log.drop("open")
        await log.drop("closed")
        assert server.ask("KEYS", f"{prefix}*") == b"*0\r\n"
        await log.close()

    async def test_appends_that_come_together_share_few_pipelines(self, server, prefix) -> None:
        measures = Measures()
        log = await RedisLog.open(server.url, prefix=prefix, measures=measures)

        await asyncio.gather(*(log.append(f"r{number}", 1, words(1, 3)) for number in range(500)))

        assert sum(measures.commits.counts) <= 3
        await log.close()

    async def test_scripts_that_the_server_has_forgotten_are_loaded_again(self, server, prefix) -> None:
        log = await RedisLog.open(server.url, prefix=prefix)
        await log.append("r", 1, words(1, 3))
        server.ask("SCRIPT", "FLUSH")

        appends = [log.append(run, first, words(first, first)) for first in (4, 5) for run in ("r",)]
        await asyncio.gather(*appends, log.read("other", 0, 1), log.drop("another"))

        assert (await log.read("r", 0, 10)).tail == 5
        await log.close()

    async def test_it_keeps_what_is_not_its_own(self, server, prefix) -> None:
        server.ask("SET", f"{prefix}{{r}}x", "somebody else's")
        server.ask("SET", f"{prefix}{{s}}", "somebody else's")
        log = await RedisLog.open(server.url, prefix=prefix)
        await log.append("r", 1, words(1, 1))

        assert await log.runs() == ["r"]
        await log.drop("r")
        assert server.ask("GET", f"{prefix}{{r}}x").endswith(b"somebody else's\r\n")
        server.ask("DEL", f"{prefix}{{r}}x", f"{prefix}{{s}}")
        await log.close()


class TestStarting:
    async def test_a_server_that_throws_keys_away_is_refused(self, start_server) -> None:
        server = start_server(VALKEY, "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
        with pytest.raises(ConfigurationError, match=r"set maxmemory-policy noeviction"):
            await RedisLog.open(server.url)

    async def test_a_password_is_never_in_a_message(self) -> None:
        with pytest.raises(ConfigurationError) as caught:
            await RedisLog.open(f"redis://somebody:secret@127.0.0.1:{free_port()}/0")
        assert "127.0.0.1" in str(caught.value)
        assert "secret" not in str(caught.value)

    async def test_a_wrong_password_is_said_to_be_one(self, start_server) -> None:
        server = start_server(VALKEY, "--requirepass", "right")
        with pytest.raises(ConfigurationError, match=r"WRONGPASS|invalid|Invalid"):
            await RedisLog.open(server.url.replace("redis://", "redis://:wrong@"))
        log = await RedisLog.open(server.url.replace("redis://", "valkey://:right@"))
        await log.append("r", 1, words(1, 1))
        await log.close()

    @pytest.mark.parametrize(
        "urls",
        [
            "",
            "  ,",
            "http://127.0.0.1:6379",
            "redis://h:port",
            "redis://h/0,redis://h/0",
            "redis://h,valkey://H:6379/0",
        ],
    )
    async def test_what_is_no_address_is_refused(self, urls) -> None:
        with pytest.raises(ConfigurationError, match=r"address"):
            await RedisLog.open(urls)

    async def test_a_user_that_may_not_ask_for_everything_will_do(self, start_server) -> None:
        server = start_server(VALKEY)
        server.ask("ACL", "SETUSER", "runcast", "on", ">secret", "~runcast:*", "&runcast:*", "+@all", "-info")
        with capture_logs() as said:
            log = await RedisLog.open(server.url.replace("redis://", "redis://runcast:secret@"))
        assert [line["event"] for line in said] == ["redis.not_inspected"]
        assert "secret" not in str(said)

        reader = asyncio.create_task(read_all(log, "r"))
        (await parked(log, "r", 0)).cancel()
        await log.append("r", 1, words(1, 3), closed=True)
        assert await reader == [1, 2, 3]
        await log.check()
        await log.drop("r")
        await log.close()

    async def test_a_user_that_may_not_subscribe_is_told_why_nothing_is_heard(self, start_server) -> None:
        server = start_server(VALKEY)
        server.ask("ACL", "SETUSER", "runcast", "on", ">secret", "~*", "resetchannels", "+@all")
        with capture_logs() as said:
            log = await RedisLog.open(server.url.replace("redis://", "redis://runcast:secret@"))
            await until(lambda: any(line["event"] == "redis.disconnected" for line in said))
        assert "channel" in said[-1]["reason"]
        await log.close()

    async def test_a_cluster_is_refused(self, start_server) -> None:
        server = start_server(VALKEY, "--cluster-enabled", "yes", "--cluster-port", str(free_port()))
        with pytest.raises(ConfigurationError, match="node of a cluster"):
            await RedisLog.open(server.url)

    @pytest.mark.parametrize(("version", "fits"), [("6.2.14", False), ("7.0.0", True), ("10.1", True)])
    def test_an_old_redis_is_refused(self, version, fits) -> None:
        server = Server("redis://127.0.0.1")
        if fits:
            server.judge({"redis_version": version})
            return
        with pytest.raises(ConfigurationError, match=r"Redis 6.2.14; Redis 7 or newer"):
            server.judge({"redis_version": version})
        server.judge({"redis_version": version, "valkey_version": "9.1.2"})


class TestSharding:
    async def test_runs_are_spread_over_all_servers_and_every_process_finds_them(self, servers) -> None:
        here = await RedisLog.open(",".join(server.url for server in servers))
        urls = [f"valkey://127.0.0.1:{server.port}" for server in reversed(servers)]
        there = await RedisLog.open(" , ".join(urls))  # in another order, and written differently
        runs = [f"run-{number}" for number in range(60)]
        readers = [asyncio.create_task(read_all(there, run)) for run in runs]
        for run in runs:
            await here.append(run, 1, words(1, 9))
            await here.append(run, 10, words(10, 10), closed=True)

        assert await asyncio.gather(*readers) == [list(range(1, 11))] * 60
        held = [int(server.ask("DBSIZE")[1:]) for server in servers]
        assert sum(held) == 60
        assert min(held) >= 15
        assert sorted(await there.runs()) == sorted(runs)
        await here.check()
        await asyncio.gather(*(there.drop(run) for run in runs))
        assert await here.runs() == []
        await here.close()
        await there.close()

    async def test_while_one_server_takes_appends_logs_that_begin_can_be_there(self, start_server) -> None:
        lasting, dying = start_server(VALKEY), start_server(VALKEY)
        log = await RedisLog.open(f"{lasting.url},{dying.url}")
        runs = [f"run-{number}" for number in range(40)]
        assert all(map(log.suits, runs))

        await asyncio.to_thread(dying.kill)
        await log.check()
        suitable = [run for run in runs if log.suits(run)]
        assert 0 < len(suitable) < len(runs)
        for run in suitable:
            await log.append(run, 1, words(1, 1))
        lasting.ask("CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(StoreUnavailable, match="can't be reached"):
            await log.check()
        assert not any(map(log.suits, runs))

        lasting.ask("CONFIG", "SET", "maxmemory", "0")
        await asyncio.to_thread(dying.start)
        await log.check()
        assert all(map(log.suits, runs))
        await log.close()

    async def test_a_server_that_is_taken_away_takes_only_its_own_runs(self, servers) -> None:
        both = await RedisLog.open(",".join(server.url for server in servers))
        runs = [f"run-{number}" for number in range(60)]
        for run in runs:
            await both.append(run, 1, words(1, 3))
        one = await RedisLog.open(servers[0].url)

        assert 15 <= sum([(await one.read(run, 0, 10)).tail == 3 for run in runs]) <= 45
        await both.append(next(run for run in await one.runs()), 4, words(4, 4))
        await one.close()
        await both.close()


async def test_a_cursor_goes_on_over_a_page_that_ends_inside_an_append(views) -> None:
    here, there = views
    await here.append("r", 1, words(1, 30))
    async with Cursor(there, "r", 7, limit=4) as cursor:
        assert seqs_of(await cursor.next()) == [8]
        assert seqs_of(await cursor.next()) == [9, 10, 11, 12]
