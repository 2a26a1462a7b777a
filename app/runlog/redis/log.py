"""RedisLog: one stream per run in Valkey or Redis, one entry per append. For any number of processes.

Appends of all runs that gather while a pipeline is in flight go with the next one; each is a script that appends and
publishes in one step, if the log is where the append says it is. Readers are told through one subscription per process
(see `following`), and read from memory at the live end, from the stream everywhere else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from app.errors import ConfigurationError, Fenced, Lost, StoreFull, StoreUnavailable
from app.events import Event
from app.measures import Measures
from app.runlog.base import Bell, Page, RunLog
from app.runlog.codec import encode_segment
from app.runlog.redis.authorship import Append, Authorship
from app.runlog.redis.following import LOOK_EVERY, Following
from app.runlog.redis.names import Names
from app.runlog.redis.pages import page_of
from app.runlog.redis.pipe import PATIENCE, TIMEOUT, Pipe
from app.runlog.redis.scripts import APPEND, DROP, PAGE
from app.runlog.redis.server import Command, Server
from app.runlog.redis.shard import Shard
from app.runlog.redis.subscriber import Subscriber
from app.runlog.single_flight import SingleFlight
from app.runlog.windows import Windows

OPEN_TTL: Final = 24 * 3600.0
CLOSED_TTL: Final = 3600.0
_PAGE_BYTES: Final = 1024 * 1024
_MAX_SEQ: Final = 1 << 52
_PATIENCE_OF_CHECK: Final = 1.0
_DONE: Final = 0
_LOST: Final = 2


class RedisLog:
    """Logs on one server, or spread over several. Made by `open`, inside the event loop that uses it.

    Args:
        open_ttl: seconds after its last append that an open log is kept; more than any run takes.
        closed_ttl: seconds that a closed log is kept, unless it is dropped before: as long as archiving may fail.
        lost: called with the id of a run that this process appends to, if its log is found to have lost something, the
            seq up to which it was there, and the one up to which it is. It may also have been closed and put away by
            another process. All that can be appended to it otherwise is what closes it (see Lost); if that is not done,
            its readers wait.
        look_every: seconds between the looks that find what was missed or lost; the latter takes up to three.
        timeout: seconds after which a pipeline is sent again.
        patience: seconds for which a command is tried.
    """

    def __init__(
        self,
        servers: Sequence[Server],
        *,
        prefix: str,
        open_ttl: float = OPEN_TTL,
        closed_ttl: float = CLOSED_TTL,
        lost: Callable[[str, int, int], None] | None = None,
        measures: Measures | None = None,
        look_every: float = LOOK_EVERY,
        timeout: float = TIMEOUT,
        patience: float = PATIENCE,
    ) -> None:
        self._names = Names(prefix)
        self._ttls = round(open_ttl * 1000), round(closed_ttl * 1000)
        self._windows = Windows()
        self._authorship = Authorship.begin()
        self._share = SingleFlight()
        self._told = 0
        self._closed = False
        self._following = Following(self._names, self._windows, self._authorship, self._shard, lost, look_every)
        channel = self._names.writer(self._authorship.name)
        observe = (measures or Measures()).commits.observe
        self._shards = [
            Shard(
                server,
                Pipe(server, patience=patience, timeout=timeout, observe=observe),
                Pipe(server, patience=patience, timeout=timeout),
                Subscriber(server, [channel], self._hear, self._following.hurry),
            )
            for server in servers
        ]

    @classmethod
    async def open(cls, urls: str, *, prefix: str = "runcast:", **options: Any) -> RedisLog:
        """Look the servers over, and use them.

        Args:
            urls: the address of a server, or several, separated by commas: every run then belongs to one of them.
            prefix: before the names of all keys and channels.
            options: as of the class.

        Raises:
            ConfigurationError: an address is none, or its server can't be reached or can't keep logs.
        """
        servers = [Server(url) for url in urls.split(",") if url.strip()]
        if len({server.place for server in servers}) < len(servers) or not servers:
            raise ConfigurationError("the addresses of Redis or Valkey servers must be there, and differ")
        await asyncio.gather(*(server.inspect() for server in servers))
        return cls(servers, prefix=prefix, **options)

    async def append(self, run_id: str, first_seq: int, events: Sequence[Event], *, closed: bool = False) -> None:
        """As `RunLog.append`.

        Raises:
            Lost: what was appended here before is gone; see there for what can be done.
            StoreUnavailable: the server can't be reached, or is full; the same append may be tried again, and is
                carried out once even if it had been before.
            ValueError: `events` is empty.
        """
        body = encode_segment(events)
        self._check_open()
        append = self._authorship.prepare(run_id, first_seq, tuple(events), body, closed=closed)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def answer(value: Any) -> None:
            failure = self._outcome(append, value)
            if done.done():
                return
            if failure is None:
                done.set_result(None)
            else:
                done.set_exception(failure)

        # A caller that is cancelled cancels only this future; the append is on its way.
        self._shard(run_id).writer.submit(self._command(append), answer, size=len(body))
        await done

    async def read(self, run_id: str, after: int, limit: int) -> Page:
        """As `RunLog.read`.

        Raises:
            StoreUnavailable: the server can't be reached.
        """
        self._following.use(run_id)
        window = self._windows.get(run_id)
        if window is not None and window.covers(after):
            return window.page(after, limit)
        # Whoever asks after an append was told must not be given an answer from before it.
        key = ("page", run_id, after, limit, self._told)
        return await self._share(key, lambda: self._read(run_id, after, limit))

    async def wait(self, run_id: str, after: int, bell: Bell | None = None) -> bool:
        """As `RunLog.wait`.

        Raises:
            Gap: the log was lost, and another is in its place.
            StoreUnavailable: the server can't be reached, to begin with; once it was, waiting goes on.
        """
        self._check_open()
        window = self._windows.open(run_id)
        if not window.known:
            with window.hold():
                await self._share(("follow", run_id, id(window)), lambda: self._following.follow(run_id, window))
        self._following.use(run_id)
        return await window.wait(after, bell)

    async def drop(self, run_id: str) -> None:
        """As `RunLog.drop`; whoever waits in other processes is woken as well.

        Raises:
            StoreUnavailable: the server can't be reached.
        """
        self._check_open()
        self._authorship.forget(run_id)  # or a look that comes in between would find it lost
        channel, writers = self._names.channel(run_id), self._names.writer("")
        await self._shard(run_id).writer.ask("EVALSHA", DROP.sha, 1, self._names.log(run_id), channel, writers, run_id)
        self._told += 1
        self._following.forget(run_id)

    def release(self, run_id: str) -> None:
        """As `RunLog.release`."""
        self._following.forget(run_id)

    async def runs(self) -> list[str]:
        """As `RunLog.runs`; of all shards. It looks at every key of the servers: not for every day.

        Raises:
            StoreUnavailable: a server can't be reached.
        """
        self._check_open()
        found: dict[str, None] = {}
        for shard in self._shards:
            cursor = b"0"
            while True:
                cursor, keys = await shard.reader.ask(
                    "SCAN", cursor, "MATCH", self._names.logs, "COUNT", 1000, "TYPE", "stream"
                )
                found.update(dict.fromkeys(self._names.run_of_log(key.decode()) for key in keys))
                if cursor == b"0":
                    break
        return list(found)

    async def check(self) -> None:
        """As `RunLog.check`: every server would take an append now."""
        self._check_open()
        # It follows nothing, so that it is refused as the last step: a server that is full refuses it before.
        nothing = Append("", 0, (), b"", closed=False, mark=self._authorship.name, follows="", held=False)
        command = self._command(nothing)
        answers = await asyncio.gather(*(shard.check(command, _PATIENCE_OF_CHECK) for shard in self._shards))
        failures = [failure for failure in answers if failure is not None]
        if len(failures) == len(self._shards):  # while there is one, runs that begin can be there
            raise next((failure for failure in failures if not isinstance(failure, StoreFull)), failures[0])

    def suits(self, run_id: str) -> bool:
        """As `RunLog.suits`."""
        return self._shard(run_id).fit

    async def close(self) -> None:
        """As `RunLog.close`. Whoever waits is woken; whatever is asked afterwards raises StoreUnavailable."""
        if self._closed:
            return
        self._closed = True
        await self._following.stop()
        await asyncio.gather(*(shard.stop() for shard in self._shards))
        self._windows.clear()

    def _shard(self, run_id: str) -> Shard:
        if len(self._shards) == 1:
            return self._shards[0]
        return max(self._shards, key=lambda shard: shard.weight(run_id))

    def _command(self, append: Append) -> Command:
        names, run_id = self._names, append.run_id
        return (
            *("EVALSHA", APPEND.sha, 1, names.log(run_id)),
            *(append.first_seq, len(append.events), int(append.closed), append.mark, append.follows, int(append.held)),
            *(self._ttls[append.closed], names.channel(run_id), names.writer(""), run_id, append.body),
        )

    def _outcome(self, append: Append, answer: Any) -> Exception | None:
        """Take note of what became of an append; why it was not made, if it was not."""
        if isinstance(answer, Exception):
            self._authorship.doubt(append)
            return answer
        self._told += 1
        result, tail, closed = answer
        run_id = append.run_id
        if result == _DONE:
            self._authorship.settle(append)
            window = self._windows.open(run_id)
            if not (window.known and window.tail >= append.last_seq):
                size, mark = len(append.body), append.mark
                self._windows.publish(
                    run_id, append.first_seq, append.events, size=size, closed=append.closed, mark=mark
                )
            return None
        message = f"run {run_id}: an append at {append.first_seq}, but the log is at {tail}"
        if result == _LOST:
            return Lost(message)
        place = self._authorship.places.get(run_id)
        if place is not None and (closed or tail != place.seq):
            self._following.forget(run_id)
        return Fenced(message)

    def _hear(self, channel: str, message: bytes) -> None:
        self._told += 1
        self._following.hear(channel, message)

    async def _read(self, run_id: str, after: int, limit: int) -> Page:
        self._check_open()
        sought = max(-1, min(after, _MAX_SEQ))
        command = "EVALSHA", PAGE.sha, 1, self._names.log(run_id), sought, limit, _PAGE_BYTES
        return page_of(await self._shard(run_id).reader.ask(*command, size=_PAGE_BYTES // 16), after, limit)

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailable("the event log was shut")


_: type[RunLog] = RedisLog
