"""What the viewers of a session share: its runs, in their order, and word of those that wait."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence

from app.runlog.base import Bell
from app.sessions.base import Waiting

_NOTICES = 64
"""How many notices a session's viewer may miss while it takes nothing."""


class SessionFeed:
    """A session's runs as its viewers know them, with one shared wake-up for the next one.

    Attributes:
        viewers: how many viewers follow the session now.
        loaded: whether the runs of before it was viewed are known.
        gone: the session was deleted; nothing will follow.
        left: set when the last viewer left.
    """

    def __init__(self) -> None:
        self.viewers = 0
        self.loaded = False
        self.gone = False
        self.left = asyncio.Event()
        self._runs: dict[int, str] = {}
        self._news = asyncio.Event()
        self._notices: deque[Waiting] = deque(maxlen=_NOTICES)
        self._noticed = 0
        self._bells: set[Bell] = set()

    def add(self, runs: Sequence[tuple[int, str]]) -> None:
        """Learn of runs whose turn has come, by (number, run id); knowing one already is fine."""
        self._runs = dict(sorted({**self._runs, **dict(runs)}.items()))
        self._wake()

    def tell(self, waiting: Sequence[Waiting]) -> None:
        """Tell every viewer of runs that wait, wherever it is."""
        self._notices.extend(waiting)
        self._noticed += len(waiting)
        for bell in self._bells:
            bell.ring()
        self._wake()

    def end(self) -> None:
        """The session is gone."""
        self.gone = True
        for bell in self._bells:  # whoever reads a log that was dropped meanwhile would wait for ever
            bell.ring()
        self._wake()

    def run_id(self, number: int) -> str | None:
        """The id of a run, or None."""
        return self._runs.get(number)

    def numbers(self) -> Sequence[int]:
        """The numbers of the runs, in order."""
        return list(self._runs)

    def first(self) -> int:
        """The number of the earliest run that is left, 0 without one."""
        return next(iter(self._runs), 0)

    def last(self) -> int:
        """The number of the latest run, 0 without one."""
        return next(reversed(self._runs), 0)

    def following(self, number: int) -> int | None:
        """The number of the run that comes after `number`, or None as yet."""
        if number >= self.last():
            return None
        return next(later for later in self._runs if later > number)

    async def news(self) -> None:
        """Wait for a run that is not known yet, for a notice, or for the end."""
        await self._news.wait()

    @contextlib.contextmanager
    def listen(self) -> Iterator[Ear]:
        """Be told of runs that wait, while inside."""
        bell = Bell()
        self._bells.add(bell)
        try:
            yield Ear(self, bell)
        finally:
            self._bells.discard(bell)

    def noticed(self, since: int) -> tuple[int, Sequence[Waiting]]:
        """How many notices there were in all, and those after the first `since`, as far as they are kept."""
        new = min(self._noticed - since, len(self._notices))
        return self._noticed, list(self._notices)[len(self._notices) - new :] if new else ()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


class Ear:
    """What one viewer of a session has heard of the runs that wait.

    Attributes:
        bell: rung while there is something to hear.
    """

    def __init__(self, feed: SessionFeed, bell: Bell) -> None:
        self._feed = feed
        self.bell = bell
        self._since, _ = feed.noticed(0)

    @property
    def gone(self) -> bool:
        """Whether the session was deleted: its logs are closed, or dropped."""
        return self._feed.gone

    def heard(self) -> Sequence[Waiting]:
        """What is new since it was asked last."""
        self.bell.clear()
        self._since, new = self._feed.noticed(self._since)
        return new


class SessionFeeds:
    """The feeds of the sessions that are being viewed here.

    Args:
        begun_runs: reads the runs of a session whose turn has come.
        on_count: told a session's id and its number of viewers whenever that changes.
        shared: whether runs begin in other processes, too, of which a feed learns a moment later.
    """

    def __init__(
        self,
        begun_runs: Callable[[str], Awaitable[Sequence[tuple[int, str]]]],
        on_count: Callable[[str, int], None],
        *,
        shared: bool = False,
    ) -> None:
        self._shared = shared
        self._begun_runs = begun_runs
        self._on_count = on_count
        self._feeds: dict[str, SessionFeed] = {}

    async def last(self, session_id: str) -> tuple[int, str] | None:
        """(number, run id) of the session's last run whose turn has come."""
        if not self._shared and (feed := self._feeds.get(session_id)) is not None and feed.loaded:
            number = feed.last()
            return (number, feed.run_id(number) or "") if number else None
        begun = await self._begun_runs(session_id)
        return begun[-1] if begun else None

    def last_known(self) -> dict[str, int]:
        """The sessions that are viewed, and the number of each one's latest run as far as it is known here."""
        return {session_id: feed.last() for session_id, feed in self._feeds.items()}

    def viewers(self, session_id: str) -> int:
        """How many viewers follow a session."""
        feed = self._feeds.get(session_id)
        return feed.viewers if feed else 0

    def began(self, session_id: str, number: int, run_id: str) -> bool:
        """A run began to run; False if others came before it that are not known here, so that a refresh is needed."""
        feed = self._feeds.get(session_id)
        if feed is not None and self._shared and number > feed.last() + 1:
            return False
        if feed is not None:
            feed.add([(number, run_id)])
        return True

    def wait(self, session_id: str, waiting: Sequence[Waiting]) -> None:
        """Runs have to wait, or got another place in the queue."""
        if waiting and (feed := self._feeds.get(session_id)) is not None:
            feed.tell(waiting)

    async def refresh(self, session_id: str) -> None:
        """A run ended: others may have their turn now."""
        if (feed := self._feeds.get(session_id)) is not None:
            feed.add(await self._begun_runs(session_id))

    @contextlib.contextmanager
    def view(self, session_id: str) -> Iterator[SessionFeed]:
        """Count as a viewer of the session while inside."""
        feed = self._feeds.setdefault(session_id, SessionFeed())
        feed.viewers += 1
        self._on_count(session_id, feed.viewers)
        try:
            yield feed
        finally:
            feed.viewers -= 1
            if feed.viewers == 0:
                del self._feeds[session_id]
                feed.left.set()
            self._on_count(session_id, feed.viewers)

    async def dismiss(self, session_id: str) -> None:
        """Tell the session's viewers that it is gone, and wait until they have left."""
        if (feed := self._feeds.get(session_id)) is not None:
            feed.end()
            await feed.left.wait()
