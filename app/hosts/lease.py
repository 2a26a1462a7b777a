"""The lease of one process: a key that expires, by which the others know that it lives, and it knows that they do."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import suppress
from typing import Final

import structlog

from app.errors import StoreUnavailable
from app.runlog.redis.pipe import Pipe

log = structlog.get_logger()

LEASE: Final = 8.0
"""Seconds for which a sign of life is good."""

RENEW: Final = 2.0
"""Seconds between two of them."""

CONFIRM: Final = 3.0
"""Seconds in which a live host gives a sign of life, whatever became of the last one."""

_ON_TIME: Final = 1.5
"""How late a sign may come, in times of RENEW, if the server was there all the time."""

_PATIENCE: Final = 2.0
"""Seconds for which a question to the server is tried; it is asked again anyway."""

_SIGN: Final = b"""#!lua flags=allow-oom
redis.call('SET', KEYS[1], ARGV[4], 'PX', ARGV[1])
local meeting = ARGV[3] == '' and redis.call('GET', KEYS[2]) or ARGV[2]
redis.call('SET', KEYS[2], meeting, 'PX', 2 * ARGV[1])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local since = tonumber(redis.call('GET', KEYS[3]) or now)
redis.call('SET', KEYS[3], string.format('%.0f', since), 'PX', 2 * ARGV[1])
return {meeting, string.format('%.0f', since), now - since}
"""
"""A sign of life; a server that has no room for a byte more has to take it, or all hosts would be given up.

It answers what everybody has in common who meets here, which stays the same as long as anybody does; since when the
server has forgotten nothing, by its clock; and for how many milliseconds.
"""


class Lease:
    """The lease of one process, and its view of the others'. Made inside the event loop that uses it.

    Args:
        pipe: to the server where leases are.
        prefix: before the names of all keys.
        name: the process's.
        lease, renew, confirm: see LEASE, RENEW, CONFIRM.

    Attributes:
        meeting: what those have in common who use the same server and prefix.
    """

    def __init__(
        self,
        pipe: Pipe,
        prefix: str,
        name: str,
        *,
        lease: float = LEASE,
        renew: float = RENEW,
        confirm: float = CONFIRM,
    ) -> None:
        self.meeting = name
        self._pipe = pipe
        self._prefix = prefix
        self._own = self._key(name)
        self._lease, self._renew, self._confirm = lease, renew, confirm
        self._met = False
        self._signs = 0
        self._hurry = asyncio.Event()
        self._now = asyncio.get_running_loop().time
        self._renewed = self._on_time_since = self._now()
        self._since: bytes | None = None
        self._remembers = False

    async def sign(self) -> None:
        """Give a sign of life.

        Raises:
            StoreUnavailable: the server does not take it.
        """
        began = self._now()
        keys = self._own, f"{self._prefix}meeting", self._memory
        # Who has met others before keeps to that, also where the server has forgotten it.
        met = "met" if self._met else ""
        self._signs += 1
        command = "EVAL", _SIGN, len(keys), *keys, round(self._lease * 1000), self.meeting, met, self._signs
        meeting, self._since, remembered = await self._pipe.ask(*command, patience=self._renew)
        self.meeting, self._met = meeting.decode(), True
        self._remembers = remembered >= 1000 * self._lease
        if self._is_late():
            self._on_time_since = self._now()
        self._renewed = began

    async def renew_for_ever(self) -> None:
        """Give a sign of life every so often, and whenever `hurry` asks for one."""
        failed = False
        while True:
            try:
                await self.sign()
            except StoreUnavailable as error:
                if not failed:
                    log.warning("lease.not_renewed", reason=str(error), retry_in=self._renew)
                failed = True
            else:
                failed = False
            self._hurry.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._renew):
                    await self._hurry.wait()

    def hurry(self) -> None:
        """Have the next sign given at once: the last one may be lost."""
        self._hurry.set()

    def check(self) -> None:
        """Return if the others know that this process lives.

        Raises:
            StoreUnavailable: they can't.
        """
        if self._now() - self._renewed > self._lease:
            raise StoreUnavailable("the other processes have not heard of this one for too long")

    async def gone(self, hosts: Collection[str]) -> frozenset[str]:
        """As `Fleet.gone`.

        What lost their leases may be the server: then nobody is gone who does not stay away for CONFIRM.

        Raises:
            StoreUnavailable: the server does not answer.
        """
        missing, certain = await self._missing(hosts)
        if missing and not certain:
            await asyncio.sleep(self._confirm)
            missing, _ = await self._missing(missing)
        return missing

    async def give_back(self) -> None:
        """Let everybody know that this process is gone, if the server can be reached."""
        with suppress(StoreUnavailable):
            await self._pipe.ask("DEL", self._own, patience=_PATIENCE)

    async def _missing(self, hosts: Collection[str]) -> tuple[frozenset[str], bool]:
        """Which have no lease, and whether the server was there, and forgot nothing, for as long as one is good."""
        if not hosts:
            return frozenset(), True
        asked = sorted(hosts)
        keys = self._memory, self._own, *map(self._key, asked)
        last = b"%d" % self._signs  # another may be given before the answer comes
        since, own, *leases = await self._pipe.ask("MGET", *keys, patience=_PATIENCE)
        # One that took over from another, and had not got everything from it, has an older sign of this process.
        remembers = self._remembers and (since, own) == (self._since, last)
        was_there = self._renewed - self._on_time_since >= self._lease and not self._is_late()
        missing = frozenset(host for host, lease in zip(asked, leases, strict=True) if lease is None)
        return missing, remembers and was_there

    def _is_late(self) -> bool:
        return self._now() - self._renewed > _ON_TIME * self._renew

    @property
    def _memory(self) -> str:
        return f"{self._prefix}memory"

    def _key(self, host: str) -> str:
        return f"{self._prefix}host:{host}"
