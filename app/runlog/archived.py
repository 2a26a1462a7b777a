"""ArchivedLog: a log whose closed runs may have moved to an archive, and nobody who reads can tell."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Final

from app.errors import Fenced, Gap, Lost
from app.events import Event
from app.measures import Measures
from app.runlog.archive import decode_archive, encode_archive, trim_archive
from app.runlog.base import Archive, Bell, Page, RunLog
from app.runlog.single_flight import SingleFlight
from app.runlog.window import Window

MAX_EVENTS: Final = 200_000
_PAGE: Final = 4096
_MAX_KNOWN: Final = 100_000


class ArchivedLog:
    """A RunLog over a live log and an archive. `archive` moves a closed run from the one to the other.

    A run is put into the archive before it leaves the live log, and looked for in the opposite order, so that at no
    moment it is in neither.

    Args:
        most_events: how many events of archives are kept decoded; the archive read last always is.
        measures: where what is appended is counted.
        shared: whether other processes archive runs, too.
    """

    def __init__(
        self,
        live: RunLog,
        archive: Archive,
        *,
        most_events: int = MAX_EVENTS,
        measures: Measures | None = None,
        shared: bool = False,
    ) -> None:
        self._shared = shared
        self._live = live
        self._archive = archive
        self._measures = measures or Measures()
        self._most_events = most_events
        self._decoded: OrderedDict[str, Window] = OrderedDict()
        self._decoded_events = 0
        self._seen_live: set[str] = set()
        self._trimmed: set[str] = set()
        self._epoch = 0
        self._share = SingleFlight()

    async def archive(self, run_id: str) -> None:
        """Move a closed log to the archive. Harmless when it was moved before, wholly or half, or its run was deleted.

        Raises:
            Lost: the log is open, or not there: what closed it is gone, or nothing ever did.
        """
        await self._share(("archive", run_id), lambda: self._move(run_id))

    async def trim(self, run_id: str) -> None:
        """Leave of an archived log nothing but its terminal; nothing happens to one that is not archived.

        Raises:
            RunNotFound: the run was deleted meanwhile.
        """
        if (body := await self._archive.get_archive(run_id)) is not None:
            rest = await asyncio.to_thread(trim_archive, body)
            await self._archive.put_archive(run_id, rest, trimmed=True)
            self._forget(run_id)

    def heed_trims(self, run_ids: Iterable[str]) -> None:
        """Take note that logs were trimmed, maybe by another process: what is remembered of them whole is old."""
        for run_id in run_ids:
            window = self._decoded.get(run_id)
            if run_id not in self._trimmed or (window is not None and window.count > 1):
                self.release(run_id)
                _learn(self._trimmed, run_id)

    async def append(self, run_id: str, first_seq: int, events: Sequence[Event], *, closed: bool = False) -> None:
        """As `RunLog.append`; a run in the archive is closed, and so is one that was deleted."""
        # Every later append of such a run finds the live log without a tail, which fences it.
        if first_seq == 1 and not await self._archive.awaits_archive(run_id):
            raise Fenced(f"run {run_id}: an append at 1, but the log is archived, or deleted")
        await self._live.append(run_id, first_seq, events, closed=closed)
        self._measures.events.update(map(type, events))

    async def read(self, run_id: str, after: int, limit: int) -> Page:
        """As `RunLog.read`."""
        window = self._recall(run_id)
        if window is None:
            page = await self._read_live(run_id, after, limit)
            if page is not None:
                return page
            window = await self._find(run_id) or Window.unbounded()
        if not window.covers(after):
            raise Gap(window.earliest, window.tail)
        return window.page(after, limit)

    async def wait(self, run_id: str, after: int, bell: Bell | None = None) -> bool:
        """As `RunLog.wait`."""
        window = self._recall(run_id)
        if window is not None:
            return await window.wait(after, bell)
        if after and run_id in self._seen_live:
            return await self._live.wait(run_id, after, bell)
        return await self._wait_for_either(run_id, after, bell)

    async def drop(self, run_id: str) -> None:
        """Forget the live log, and what is remembered of the archived one; its archive is removed by its owner."""
        self._forget(run_id)
        await self._live.drop(run_id)

    def release(self, run_id: str) -> None:
        """As `RunLog.release`; what follows the log finds it live, or in the archive."""
        self._forget(run_id)
        self._live.release(run_id)

    async def runs(self) -> list[str]:
        """The runs of the live log: those that are not archived, or not wholly."""
        return await self._live.runs()

    async def check(self) -> None:
        """As `RunLog.check`, of the live log; the archive is its owner's."""
        await self._live.check()

    def suits(self, run_id: str) -> bool:
        """As `RunLog.suits`."""
        return self._live.suits(run_id)

    async def close(self) -> None:
        """Close the live log; the archive is its owner's."""
        await self._live.close()

    async def _move(self, run_id: str) -> None:
        first_seq, events = await self._read_whole(run_id)
        if events:
            body = await asyncio.to_thread(encode_archive, events, first_seq)
            await self._archive.put_archive(run_id, body)
            self._seen_live.discard(run_id)
            self._epoch += 1
            await self._live.drop(run_id)
        elif await self._archive.awaits_archive(run_id):
            raise Lost(f"there is no log of run {run_id}")

    async def _read_whole(self, run_id: str) -> tuple[int, list[Event]]:
        """All that there is of a closed log, and the seq that it begins with: not 1 if something of it was lost."""
        first_seq = await self._first(run_id)
        events: list[Event] = []
        while True:
            page = await self._live.read(run_id, first_seq - 1 + len(events), _PAGE)
            if page.tail and not page.closed:
                raise Lost(f"the log of run {run_id} is open")
            events += [entry.event for entry in page.entries]
            if first_seq - 1 + len(events) == page.tail:
                return first_seq, events
            await asyncio.sleep(0)

    async def _first(self, run_id: str) -> int:
        try:
            await self._live.read(run_id, 0, 1)
        except Gap as gap:
            return gap.earliest
        return 1

    async def _read_live(self, run_id: str, after: int, limit: int) -> Page | None:
        """What the live log answers, or None if it holds nothing of this run."""
        try:
            page = await self._live.read(run_id, after, limit)
        except Gap as gap:
            if gap.latest:
                raise
            return None
        if not page.tail:
            return None
        _learn(self._seen_live, run_id)
        return page

    async def _wait_for_either(self, run_id: str, after: int, bell: Bell | None) -> bool:
        # The live log must be waited on before the archive is asked: a run that moves in between is then noticed.
        waiting = asyncio.ensure_future(self._live.wait(run_id, after, bell))
        try:
            await asyncio.sleep(0)
            window = await self._find(run_id)
            return await (waiting if window is None else window.wait(after, bell))
        finally:
            if not waiting.cancel() and not waiting.cancelled():
                # Marks a failure as seen, should the archive have had the answer.
                waiting.exception()

    def _recall(self, run_id: str) -> Window | None:
        window = self._decoded.get(run_id)
        if window is not None:
            self._decoded.move_to_end(run_id)
        return window

    async def _find(self, run_id: str) -> Window | None:
        """The archive of a run that the live log holds nothing of."""
        window = await self._fetch(run_id)
        if window is None and self._shared:
            # That answer may have been under way when another process moved the run; the next one is not.
            window = await self._fetch(run_id)
        return window

    async def _fetch(self, run_id: str) -> Window | None:
        # An answer from before the last move or drop may be wrong by now: it is shared only among those before.
        key = ("fetch", run_id, self._epoch)
        return self._recall(run_id) or await self._share(key, lambda: self._decode(run_id))

    async def _decode(self, run_id: str) -> Window | None:
        epoch = self._epoch
        body = await self._archive.get_archive(run_id)
        if body is None:
            return None
        window = await asyncio.to_thread(_window_of, body)
        if epoch == self._epoch:
            self._remember(run_id, window)
        return window

    def _remember(self, run_id: str, window: Window) -> None:
        self._decoded[run_id] = window
        self._decoded_events += window.count
        while self._decoded_events > self._most_events and len(self._decoded) > 1:
            _, oldest = self._decoded.popitem(last=False)
            self._decoded_events -= oldest.count

    def _forget(self, run_id: str) -> None:
        self._epoch += 1
        self._seen_live.discard(run_id)
        window = self._decoded.pop(run_id, None)
        if window is not None:
            self._decoded_events -= window.count


def _learn(known: set[str], run_id: str) -> None:
    if len(known) >= _MAX_KNOWN:
        known.clear()
    known.add(run_id)


def _window_of(body: bytes) -> Window:
    window = Window.unbounded()
    first_seq, events = decode_archive(body)
    window.extend(first_seq, events, size=len(body), closed=True)
    return window


_: type[RunLog] = ArchivedLog
