"""A reader's position in one log. Catching up and following live are the same loop."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from app.runlog.base import Bell, Page, RunLog


class Cursor:
    """A position that moves through one log, page by page, to its end.

        async with Cursor(log, run_id, after) as cursor:
            while (page := await cursor.next()) is not None:
                …

    Args:
        after: seq of the last event that the reader already has; 0 for none.
        limit: the most entries in a page.
        bell: when it is rung, the next page comes at once, and may be empty.

    Attributes:
        after: seq of the last event handed out.
    """

    def __init__(self, log: RunLog, run_id: str, after: int = 0, *, limit: int = 512, bell: Bell | None = None) -> None:
        self.after = after
        self._log = log
        self._run_id = run_id
        self._limit = limit
        self._bell = bell
        self._caught_up = False
        self._done = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done = True

    async def next(self) -> Page | None:
        """The next page with entries, waiting for it if need be; None once the log is closed and read to its end.

        Raises:
            Gap: the log can't honour the position.
        """
        while not self._done:
            if not self._caught_up:
                # Reading may suspend nowhere, and neither may whoever sends the page: without this, one reader that is
                # far behind would keep every other from running.
                await asyncio.sleep(0)
            elif not await self._log.wait(self._run_id, self.after, self._bell):
                break
            # Pages end at the same seqs wherever a reader began, so that readers who are behind share what is made of
            # them from the second page on.
            page = await self._log.read(self._run_id, self.after, self._limit - self.after % self._limit)
            if page.entries:
                self.after = page.entries[-1].seq
            self._caught_up = self.after >= page.tail
            self._done = page.closed and self._caught_up
            if page.entries or (self._bell is not None and self._bell.rung):
                return page
        return None
