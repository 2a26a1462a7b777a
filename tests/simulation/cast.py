"""A whole play: who is on stage, what happens to them, and the end, at which everything is judged."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence

from attrs import define, field

from app.agents.base import Approval
from app.errors import Draining, NoAnswer, NoSuchApproval, RunNotFound, SessionNotFound
from app.events import ApprovalRequested, ApprovalResolved, RunCancelled
from app.position import Position
from app.sessions.base import OnConflict, Run
from tests.simulation.agents import ENDINGS, Plan, some_plan
from tests.simulation.judge import Logs, judge_connection, judge_log
from tests.simulation.people import ME, STORE_FAILED, Said, Speaker, Watcher
from tests.simulation.schedule import Schedule
from tests.simulation.storage import Disks
from tests.simulation.world import World

PATIENCE = 400.0
"""Virtual seconds until a run that does not end by itself is cancelled; longer than any agent holds out."""

NOBODYS = {
    Approval(approved=False, comment=comment)
    for comment in ("the agent waits no longer", "the run has ended", "(the run ended before this was answered)")
}
"""What is answered when nobody answers."""

Happening = Callable[["Cast"], Awaitable[None]]


@define
class Cancelled:
    """A cancel that was answered: of which run, when, and how much its agent had said by then."""

    run_id: str
    at: float
    said: int
    ended: bool


@define(eq=False)
class Cast:
    """Everybody in one schedule."""

    world: World
    sessions: list[str] = field(factory=list)
    speakers: list[Speaker] = field(factory=list)
    watchers: list[Watcher] = field(factory=list)
    cancels: list[Cancelled] = field(factory=list)
    deleted: set[str] = field(factory=set)
    approved: dict[tuple[str, str], set[Approval]] = field(factory=dict)
    perhaps: dict[tuple[str, str], set[Approval]] = field(factory=dict)
    crashes: int = 0
    _tasks: dict[object, asyncio.Task[None]] = field(factory=dict)

    @property
    def dice(self) -> random.Random:
        return self.world.schedule.script

    # on stage

    async def open_session(self) -> str:
        session = (await self.world.registry.create_session(ME, None, None)).id
        self.sessions.append(session)
        return session

    def message(
        self,
        plan: Plan,
        *,
        keyed: bool = False,
        copies: int = 1,
        tries: int = 3,
        cancel_when_left: bool = False,
        on_conflict: OnConflict = "reject",
    ) -> Said:
        content = f"message {len(self.world.company.plans) + 1}"
        self.world.company.plans[content] = plan
        key = f"key of {content}" if keyed or copies > 1 else None
        return Said(content, key, cancel_when_left, on_conflict, tries, copies)

    def speaks(self, session: str, messages: list[Said], pause: Sequence[float] = (0, 0, 0.01, 0.5)) -> Speaker:
        name = f"speaker {len(self.speakers) + 1}"
        speaker = Speaker(self.world, name, session, messages, lambda: self.dice.choice(pause))
        self.speakers.append(speaker)
        self._begin(speaker, speaker.live())
        return speaker

    def watches(self, session: str, run_id: str | None = None, after: Position | None = None) -> Watcher:
        name = f"watcher {len(self.watchers) + 1}"
        watcher = Watcher(
            self.world,
            name,
            session,
            run_id,
            after,
            drops=self.dice.choice((0.0, 0.3, 0.9)),
            stalls=self.dice.choice((0.0, 0.0, 0.2, 0.7)),
        )
        self.watchers.append(watcher)
        self._begin(watcher, watcher.live())
        return watcher

    def some_position(self) -> Position | None:
        """Where a client may ask to begin that has seen nothing: mostly nowhere, seldom where nothing ever was."""
        return self.dice.choice((None, None, None, Position(0, 0), Position(1, 0), Position(9, 9), Position(1, 999)))

    def happens(self, what: Awaitable[None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(what)
        self._begin_task(object(), task)
        return task

    def _begin(self, who: Speaker | Watcher, life: Awaitable[None]) -> None:
        self._begin_task(who, asyncio.ensure_future(life))

    def _begin_task(self, who: object, task: asyncio.Task[None]) -> None:
        self._tasks[who] = task

    # what happens

    async def cancel(self, session: str, run_id: str | None = None) -> None:
        """Cancel a run, by default the one in progress, and note what was known when the answer came."""
        self.world.schedule.say("canceller", "cancels", run_id and run_id[:8])
        try:
            run = await self.world.registry.cancel(ME, session, run_id)
        except (SessionNotFound, RunNotFound, Draining, NoAnswer, *STORE_FAILED) as refusal:
            self.world.schedule.say("canceller", "is refused", type(refusal).__name__)
            return
        performance = self.world.company.performances.get(run.id)
        said = len(performance.said) if performance else 0
        ended = run.ended_at is not None
        self.cancels.append(Cancelled(run.id, self.world.schedule.loop.time(), said, ended))
        self.world.schedule.say("canceller", "has cancelled", run.id[:8], "which had said", said, "pieces")

    def judge_leaving(self, messages: Sequence[Said]) -> None:
        """P3.11: nobody's run was cancelled for want of viewers who had not asked for it."""
        for message in messages:
            for run_id in message.run_ids:
                end = self.world.ledger.of(run_id).events[-1]
                left = isinstance(end, RunCancelled) and end.reason == "every viewer has left"
                assert message.cancel_when_left or not left, f"{message.content} did not ask to be cancelled"

    async def answer(self, session: str) -> None:
        """Answer a question that is open in the session, if there is one, as any viewer may."""
        asked = self._open_questions(session)
        if not asked:
            return
        run_id, call_id = self.dice.choice(asked)
        for _ in range(self.dice.choice((1, 1, 2))):
            approval = Approval(self.dice.random() < 0.7, self.dice.choice((None, "because")))
            try:
                await self.world.registry.approve(ME, session, call_id, approval, run_id)
            except (NoSuchApproval, SessionNotFound, RunNotFound) as refusal:
                self.world.schedule.say("answerer", "is refused", type(refusal).__name__)
            except (NoAnswer, *STORE_FAILED) as failure:
                self.world.schedule.say("answerer", "does not know", type(failure).__name__)
                self.perhaps.setdefault((run_id, call_id), set()).add(approval)
            else:
                self.world.schedule.say("answerer", "says", approval.approved, "to", call_id)
                self.approved.setdefault((run_id, call_id), set()).add(approval)

    def _open_questions(self, session: str) -> list[tuple[str, str]]:
        found = []
        for run_id in self.world.numbers(session).values():
            events = self.world.ledger.of(run_id).events
            answered = {event.call_id for event in events if isinstance(event, ApprovalResolved)}
            asked = [event.call_id for event in events if isinstance(event, ApprovalRequested)]
            found += [(run_id, call_id) for call_id in asked if call_id not in answered]
        return found

    async def delete(self, session: str) -> None:
        self.world.schedule.say("deleter", "deletes")
        self.world.numbers(session)  # remembered: viewers that are slow may still get what there was
        await self.world.registry.delete_session(ME, session)
        self.deleted.add(session)
        self.world.schedule.say("deleter", "has deleted")
        self._judge_deletion(session)

    async def restart(self, *, kill: bool, grace: float = 0.0) -> None:
        """End the process, with whatever is on its way, and start it again; everybody goes on as they can."""
        if kill:
            self.crashes += 1
            await self.world.crash()
        else:
            await self.world.close(grace)
        await self.world.open()
        for who in [*self.speakers, *self.watchers]:
            if self._tasks[who].cancelled() and not self._is_done(who):
                if isinstance(who, Speaker):
                    who.resume()
                self._begin(who, who.live())

    def _is_done(self, who: Speaker | Watcher) -> bool:
        return isinstance(who, Watcher) and who.done

    # the end

    async def finish(self) -> None:
        """Let everything come to its end, then judge."""
        self.world.life.faults = 0.0
        speaking = [self._tasks[who] for who in self.speakers]
        others = [task for who, task in self._tasks.items() if not isinstance(who, (Speaker, Watcher))]
        await self._patiently(
            asyncio.gather(*speaking, *(t for t in others if not t.cancelled())), "somebody speaks for ever"
        )
        await self._end_runs()
        ends = {session: Logs(self.world, session).end() for session in self.sessions}
        for watcher in self.watchers:
            await self._patiently(
                self._caught_up(watcher, ends[watcher.session]), f"{watcher.name} got no further than {watcher.at}"
            )
        for watcher in self.watchers:
            self._tasks[watcher].cancel()
        await asyncio.wait(
            [self._tasks[watcher] for watcher in self.watchers] or [asyncio.create_task(asyncio.sleep(0))]
        )
        for watcher in self.watchers:
            if not self._tasks[watcher].cancelled():
                self._tasks[watcher].result()
        await self._judge()
        await self.world.close()

    async def _patiently(self, what: Awaitable[object], else_: str) -> None:
        try:
            async with asyncio.timeout(3 * PATIENCE):
                await what
        except TimeoutError:
            raise AssertionError(else_) from None

    async def _end_runs(self) -> None:
        """Give runs their time, then cancel what hangs, and whatever waited behind it."""
        patience = PATIENCE
        for _ in range(20):
            try:
                async with asyncio.timeout(patience):
                    return await self.world.settled()
            except TimeoutError:
                patience = 10.0  # an agent has five seconds to stop
                for session in self.sessions:
                    if session not in self.deleted:
                        await self.cancel(session)
        raise AssertionError("a run does not end although it was cancelled")

    async def _caught_up(self, watcher: Watcher, end: Position) -> None:
        while not watcher.has_all(end):
            waiting = asyncio.ensure_future(watcher.moved.wait())
            task = self._tasks[watcher]
            await asyncio.wait({waiting, task}, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            if task.done():
                task.result()
                assert watcher.done
                return

    async def _judge(self) -> None:
        await asyncio.sleep(1)  # for reads that nobody waits for any more
        held = self.world.held()
        assert not held, f"nobody is there, and this is held: {held}"
        assert await self.world.rows.unfinished_runs() == []
        assert await self.world.log.runs() == [], "closed logs that nobody archived"
        for session in self.sessions:
            logs = Logs(self.world, session)
            for watcher in self.watchers:
                if watcher.session == session:
                    for connection in watcher.connections:
                        judge_connection(logs, connection)
            if session in self.deleted:
                self._judge_deletion(session)
            else:
                await self._judge_runs(session)
        self._judge_messages()

    async def _judge_runs(self, session: str) -> None:
        numbers = await self.world.rows.run_numbers(session)
        assert len({number for number, _ in numbers}) == len(numbers)
        for _, run_id in numbers:
            run = await self.world.registry.run(ME, session, run_id)
            events = [event for entry_events in [await self._read(run)] for event in entry_events]
            assert events == self.world.ledger.of(run_id).events, (
                f"run {run.number} reads otherwise than it was written"
            )
            judge_log(run, events, self.world.company.performances.get(run_id))
            self._judge_cancels(run)
            self._judge_approvals(run)

    async def _read(self, run: Run) -> list[object]:
        events: list[object] = []
        while True:
            page = await self.world.log.read(run.id, len(events), 7)
            events += [entry.event for entry in page.entries]
            if not page.entries:
                assert page.closed
                return events

    def _judge_cancels(self, run: Run) -> None:
        """I6: what was said after a cancel was answered is in no log, and the run ended soon."""
        events = self.world.ledger.of(run.id).events
        text = events[-1].content if isinstance(events[-1], RunCancelled) else None
        for cancel in self.cancels:
            if cancel.run_id != run.id or cancel.ended or text is None:
                continue
            said = self.world.company.performances[run.id].said if run.id in self.world.company.performances else []
            allowed = "".join(said[: cancel.said])
            assert len(text) <= len(allowed), (
                f"{text!r} is shown, but {allowed!r} was said before the cancel was answered"
            )

    def _judge_approvals(self, run: Run) -> None:
        """Of what was answered, one answer stands: it is in the log, and it is what the agent was told."""
        events = self.world.ledger.of(run.id).events
        resolved = [event for event in events if isinstance(event, ApprovalResolved)]
        assert len({event.call_id for event in resolved}) == len(resolved), "a question was answered twice"
        for event in resolved:
            given = self.approved.get((run.id, event.call_id), set())
            by_nobody = Approval(event.approved, event.comment) in NOBODYS
            expected = set() if by_nobody else {Approval(event.approved, event.comment)}
            perhaps = self.perhaps.get((run.id, event.call_id), set())
            assert given <= expected <= given | perhaps, f"the log says {event}, and these answers were taken: {given}"
        performance = self.world.company.performances.get(run.id)
        for _, approved, comment in performance.answers if performance else ():
            told = any((event.approved, event.comment) == (approved, comment) for event in resolved)
            assert told or Approval(approved, comment) in NOBODYS, f"{approved}, the agent heard, and not from the log"

    def _judge_deletion(self, session: str) -> None:
        for run_id in self.world.numbers(session).values():
            kept = self.world.ledger.of(run_id)
            assert kept.ended or not kept.events, f"run {run_id} was deleted without its terminal"

    def _judge_messages(self) -> None:
        for speaker in self.speakers:
            for message in speaker.messages:
                assert len(message.run_ids) <= 1, f"{message.content} started {message.run_ids} (I11)"
                assert message.created <= 1, f"{message.content} was new {message.created} times"
                if speaker.session not in self.deleted:
                    known = set(self.world.numbers(speaker.session).values())
                    assert message.run_ids <= known, f"{message.content} was accepted, and there is no such run"


def plans(dice: random.Random, count: int, *, length: int = 10, endings: Sequence[str] = ENDINGS) -> list[Plan]:
    return [some_plan(dice, f"w{number}", length=length, ending=dice.choice(endings)) for number in range(count)]


async def stage(schedule: Schedule, disks: Disks) -> Cast:
    """An open process, and nobody there."""
    world = World(schedule, disks)
    await world.open()
    return Cast(world)
