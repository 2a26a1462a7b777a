"""Three gateways that are one, while they are killed, paused and restarted: nobody may notice more than a pause.

    python bench/chaos.py [--runs 300] [--viewers 1500] [--seed 1] [--database URL --valkey URL]

Viewers follow sessions and runs over WebSocket and SSE, leave at any moment and come back at any gateway, or through
nginx. Sessions are talked to through any of them as well: messages that are sent twice, wait, interrupt, are cancelled,
ask for approvals. In the end every viewer's messages are compared with the logs. Without addresses the script starts a
Valkey and a PostgreSQL of its own. The exit status is 1 if anything was not as it should be.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import re
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence

import httpx
import uvloop
from attrs import define, field
from besieging import Gateway, Siege, gateways, proxy
from serving import unlimited_files
from wandering import TERMINAL, Message, Wanderer, merged, position

from tests.postgres import postgres_server, remove_server
from tests.runlog.servers import VALKEY, KeyServer

PATIENCE = 60.0
"""Seconds after the last run's end in which every viewer must have everything."""
STATUS = {"stream_end": "completed", "stream_cancelled": "cancelled"}
Json = dict[str, object]


class Doors:
    """Ways in: each gateway, and the proxy."""

    def __init__(
        self, behind: Sequence[Gateway], front: str | None, chance: random.Random, count: Counter[str]
    ) -> None:
        self.urls = [lambda gateway=each: gateway.url for each in behind] + ([lambda: front] if front else [])
        self._chance = chance
        self._count = count
        self._clients: dict[str, httpx.AsyncClient] = {}

    async def ask(self, method: str, path: str, patience: float = 6.0, **options: object) -> httpx.Response:
        """Ask at one door after another until one answers what is not about itself."""
        while True:
            url = self._chance.choice(self.urls)()
            client = self._clients.setdefault(
                url, httpx.AsyncClient(base_url=url, limits=httpx.Limits(max_connections=200))
            )
            # anyio's own failure, of a connection that was cut before it was looked at, is an AttributeError on uvloop.
            with contextlib.suppress(httpx.TransportError, AttributeError):
                answer = await client.request(method, path, timeout=patience, **options)
                if answer.status_code < 500:  # noqa: PLR2004
                    return answer
                self._count[f"answered {answer.status_code}"] += 1
            self._count["asked again"] += 1
            await asyncio.sleep(self._chance.uniform(0.1, 0.6))

    async def close(self) -> None:
        for client in self._clients.values():
            await client.aclose()


@define(eq=False)
class Conversation:
    """One session, what is said in it, and who follows.

    Attributes:
        runs: those that were started, in the order of their starts.
        keys: one for each message.
    """

    doors: Doors
    chance: random.Random
    count: Counter[str]
    pace: tuple[float, float]
    wrong: list[str] = field(factory=list)
    viewers: list[Wanderer] = field(factory=list)
    runs: list[str] = field(factory=list)
    logs: list[Message] = field(factory=list)
    id: str = ""
    _followers: list[Wanderer] = field(factory=list)

    async def begin(self) -> None:
        self.id = (await self.doors.ask("POST", "/sessions")).raise_for_status().json()["id"]

    async def talk(self, turns: int) -> None:
        """Say so many things, each when all before it are over."""
        while len(self.runs) < turns:
            ways = [self._plain, self._cancelled, self._asking]
            if turns - len(self.runs) > 1:
                ways += [self._queued, self._interrupted]
            await self.chance.choices(ways, weights=[5, 2, 2, 2, 2][: len(ways)])[0]()
            for run in self.runs:
                await self._over(run)
        await self._gather()
        last = position(self.logs[-1]["id"])
        for viewer in self.viewers:
            viewer.ends_at(last)

    async def _plain(self) -> None:
        await self._say(self._text())

    async def _cancelled(self) -> None:
        run = await self._say(self._text())
        await asyncio.sleep(self.chance.uniform(0, self.pace[1]))
        for _ in range(2):
            answer = await self.doors.ask("POST", f"/sessions/{self.id}/runs/{run}/cancel")
            self._check(answer.status_code == 202, f"a cancel was answered {answer.status_code}")  # noqa: PLR2004
        self.count["cancels"] += 1

    async def _queued(self) -> None:
        await self._say(self._text())
        await self._say(self._text(), on_conflict="queue")
        self.count["queued"] += 1

    async def _interrupted(self) -> None:
        await self._say(self._text())
        await asyncio.sleep(self.chance.uniform(0, self.pace[0]))
        await self._say(self._text(), on_conflict="interrupt")
        self.count["interrupts"] += 1

    async def _asking(self) -> None:
        run = await self._say(f"{self._text()} /approve")
        async for message in self._log(run):
            if message["type"] == "approval_requested":
                path = f"/sessions/{self.id}/runs/{run}/approvals/{message['call_id']}"
                for _ in range(2):
                    answer = await self.doors.ask("POST", path, json={"approved": True})
                    ended = answer.status_code == 404  # noqa: PLR2004 - its host may have died
                    self._check(ended or answer.status_code == 202, f"an approval was answered {answer.status_code}")  # noqa: PLR2004
                self.count["approvals"] += 1
                return

    def _text(self) -> str:
        seconds, rate = self.chance.uniform(*self.pace), 2
        return f"/quiet /length {int(seconds * rate)} /rate {rate}"

    async def _say(self, content: str, **more: str) -> str:
        key = f"{self.chance.getrandbits(64):x}"
        started = set()
        for _ in range(1 + (self.chance.random() < 0.3)):  # noqa: PLR2004 - a client that did not see the answer
            answer = await self.doors.ask(
                "POST",
                f"/sessions/{self.id}/runs",
                json={"content": content, **more},
                headers={"idempotency-key": key},
            )
            if answer.status_code not in (200, 202):
                raise RuntimeError(f"a start was answered {answer.status_code}: {answer.text}")
            self.count["repeated starts"] += answer.status_code == 200  # noqa: PLR2004
            started.add(answer.json()["id"])
        self._check(len(started) == 1, f"one key started {started}")
        self.runs.append(answer.json()["id"])
        return self.runs[-1]

    async def _over(self, run: str) -> None:
        async for _ in self._log(run):
            pass

    async def _log(self, run: str) -> AsyncIterator[Message]:
        after, done = "0", False
        while not done:
            path = f"/sessions/{self.id}/runs/{run}/log"
            answer = await self.doors.ask("GET", path, patience=12, params={"after": after, "wait": 8, "limit": 1000})
            page = answer.raise_for_status().json()
            for message in page["events"]:
                yield message
            after, done = page["next"], page["done"]

    async def _gather(self) -> None:
        """The logs and rows of all runs, in the order in which they ran."""
        rows = (await self.doors.ask("GET", f"/sessions/{self.id}/runs")).raise_for_status().json()["items"]
        self._check(sorted(row["id"] for row in rows) == sorted(self.runs), f"{self.id} has runs that nobody started")
        for row in sorted(rows, key=lambda row: row["number"]):
            log = [message async for message in self._log(row["id"])]
            ends = [message for message in log if message["type"] in TERMINAL]
            self._check(ends == log[-1:], f"{row['id']} has {len(ends)} terminals")
            end = log[-1]
            code = end.get("code", end["type"])
            self.count[f"ended {code}"] += 1
            expected = STATUS.get(end["type"], "interrupted")
            self._check(code in (*STATUS, "run_interrupted"), f"{row['id']} ended with {end}")
            self._check((row["status"], row["position"]) == (expected, end["id"]), f"{row} ended with {end}")
            self.logs += log

    def judge(self) -> None:
        """Compare what every viewer got with the logs."""
        for viewer in self.viewers:
            theirs = self.logs
            if viewer.run is not None:
                number = position(next(m["id"] for m in self.logs if m.get("run_id") == viewer.run))[0]
                theirs = [message for message in self.logs if position(message["id"])[0] == number]
            exact = merged(viewer.messages) == merged(theirs)
            self.count["exact"] += exact
            self._check(
                exact, f"a viewer of {self.id} got {len(viewer.messages)} messages up to {viewer.at}, not exact"
            )
            self.wrong += viewer.wrong

    def _check(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self.wrong.append(otherwise)


async def follow(conversation: Conversation, kind: str, turns: int, stay: float) -> None:
    """One viewer of a conversation, or of one of its runs, until there is nothing more."""
    chance = random.Random(conversation.chance.getrandbits(64))
    path = {"ws": f"/ws/sessions/{conversation.id}", "sse": f"/sessions/{conversation.id}/events"}.get(kind, "")
    run = None
    if kind == "run":
        which = chance.randrange(turns)
        while len(conversation.runs) <= which:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
        run = conversation.runs[which]
        path = f"/sessions/{conversation.id}/runs/{run}/events"
    viewer = Wanderer(kind, path, chance, stay, conversation.count, run)
    conversation.viewers.append(viewer)
    if conversation.logs and run is None:
        viewer.ends_at(position(conversation.logs[-1]["id"]))
    await asyncio.sleep(chance.uniform(0, 5))
    await viewer.wander(conversation.doors.urls)


async def besiege(options: argparse.Namespace, database: str, keys: str) -> list[str]:
    """The whole of it; the answer is what should not have happened."""
    chance, count = random.Random(options.seed), Counter[str]()
    plain = database.replace("+asyncpg", "")
    with gateways(3, database, keys) as behind, proxy(behind) as front:
        siege = Siege(behind, plain, random.Random(chance.getrandbits(64)), count)
        await siege.name_all()
        doors = Doors(behind, front, chance, count)
        sessions, pace = options.runs // options.turns, (options.pace, 2.5 * options.pace)
        conversations = [
            Conversation(doors, random.Random(chance.getrandbits(64)), count, pace) for _ in range(sessions)
        ]
        watching = asyncio.create_task(siege.watch())
        async with asyncio.TaskGroup() as group:
            befalling = group.create_task(siege.befall(options.kills, options.pauses, options.restarts, options.every))
            for conversation in conversations:
                await conversation.begin()
            kinds = ["ws", "sse", "sse", "run"]
            viewers = [
                group.create_task(
                    follow(conversations[at % sessions], chance.choice(kinds), options.turns, options.stay)
                )
                for at in range(options.viewers)
            ]
            talks = [
                group.create_task(talk(each, options.turns, chance.uniform(0, options.pace))) for each in conversations
            ]
            await asyncio.wait(talks)
            _, late = await asyncio.wait(viewers, timeout=PATIENCE)
            for task in late:
                task.cancel()
            await befalling
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        for conversation in conversations:
            conversation.judge()
        await doors.close()
        logged = [line for each in behind for line in each.server.complaints().splitlines()]
    count.update(f"logged {event}" for event in re.findall(r'"event": "(.*?)"', "\n".join(logged)))
    complaints = [line for line in logged if "Traceback" in line]
    report(options, count, siege)
    return [*siege.wrong, *(wrong for each in conversations for wrong in each.wrong), *complaints]


async def talk(conversation: Conversation, turns: int, later: float) -> None:
    await asyncio.sleep(later)
    await conversation.talk(turns)


def report(options: argparse.Namespace, count: Counter[str], siege: Siege) -> None:
    print("| | |\n|---|---|")
    print(f"| runs, viewers, seed | {options.runs}, {options.viewers}, {options.seed} |")
    for name in sorted(count):
        print(f"| {name} | {count[name]:,} |")
    print(f"| longest time that a run went on after its host's death | {siege.longest:.1f} s |")


@contextlib.contextmanager
def servers(options: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """The addresses of a database and of a Valkey."""
    if options.database and options.valkey:
        yield options.database, options.valkey
        return
    keys = KeyServer(VALKEY, "--appendonly", "yes")
    try:
        yield postgres_server().migrated(), keys.url
    finally:
        keys.remove()
        remove_server()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--turns", type=int, default=3, help="runs of a session")
    parser.add_argument("--viewers", type=int, default=1500)
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--pauses", type=int, default=4)
    parser.add_argument("--restarts", type=int, default=6)
    parser.add_argument("--every", type=float, default=8.0, help="seconds between two of them")
    parser.add_argument(
        "--pace", type=float, default=12.0, help="seconds of the shortest run; the longest is 2.5 times that"
    )
    parser.add_argument("--stay", type=float, default=15.0, help="seconds that a viewer stays, on average")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--database")
    parser.add_argument("--valkey")
    options = parser.parse_args()
    unlimited_files()
    with servers(options) as (database, keys):
        wrong = uvloop.run(besiege(options, database, keys))
    for line, times in Counter(wrong).most_common(50):
        print(f"WRONG ({times} times): {line if 'Traceback' in line else line[:400]}")
    print(f"| violations | {len(wrong)} |")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
