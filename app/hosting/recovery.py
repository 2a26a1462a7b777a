"""What a start-up finishes: runs that an earlier process left without terminal or archive (P7.1), and deletions."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Final

import structlog
from attrs import evolve

from app.errors import Lost, RunNotFound
from app.events import Terminal
from app.hosting.deleting import erase
from app.hosting.ending import INTERRUPTED, Decide, Rest, Stores, close_log, insist, outcome_of, show_and_archive
from app.runlog.codec import decode_event
from app.sessions.base import Outcome, Run, Unfinished

log = structlog.get_logger()

_EVER: Final = datetime.max.replace(tzinfo=UTC)
_TRIES = 5
"""A start that waited for ever would say nothing, and could not be stopped."""


async def recover(stores: Stores) -> int:
    """Finish what is unfinished, oldest first; the answer is how many runs there were.

    Raises:
        StoreUnavailable: the storage can't be read, or takes nothing, as when the disk is full.
    """
    stores = evolve(stores, tries=_TRIES)
    unfinished = await stores.sessions.unfinished_runs()
    for left in unfinished:
        await finish(stores, left, partial(_decide, stores))
    for run_id in await stores.log.runs():  # archived, but killed before the live log was dropped
        try:
            await stores.log.archive(run_id)
        except RunNotFound:
            await stores.log.drop(run_id)
        except Lost:  # open, though every run was finished above: its row is lost
            log.warning("run.unknown", run_id=run_id, hint="its session was lost with a damaged file")
            await stores.log.drop(run_id)
    for session_id in await stores.sessions.deleted_sessions(_EVER):
        await erase(stores, session_id)  # its files have no rows now, and go when those are recovered
    return len(unfinished)


async def finish(stores: Stores, left: Unfinished, decide: Decide) -> None:
    """Bring a run to its end whose host is gone: `run_interrupted`, unless its end was decided already.

    Raises:
        Fenced, RunNotFound: somebody else does the same, or deletes it.
        StoreUnavailable: the storage takes nothing.
    """
    run = left.run
    rest = await Rest.of(stores, run)
    if rest.recorder.terminal is not None:
        await stores.log.archive(run.id)
        return
    terminal = decode_event(left.terminal) if left.terminal is not None else INTERRUPTED
    if not isinstance(terminal, Terminal):
        raise TypeError(f"the row of {run.id} holds no terminal event")
    closing = rest.close(terminal)
    log.info("run.recovered", run_id=run.id, events=rest.tail, code=getattr(terminal, "code", None))
    if left.terminal is None:
        output, last_seq = rest.recorder.content, closing.last_seq
        outcome = outcome_of(terminal, last_seq=last_seq, output=output, at=stores.clock())
        await close_log(stores, run, outcome, closing, decide)
    else:
        await show_and_archive(stores, run, closing)


async def _decide(stores: Stores, run: Run, outcome: Outcome) -> bool:
    # What waited behind it is unfinished itself: whoever accepted it is gone.
    ended = await insist(
        lambda: stores.sessions.finish_run(run.id, outcome, promote=False), run_id=run.id, tries=stores.tries
    )
    return ended is not None
