"""The Fleet port: what the processes of one gateway have to say to each other, and no more.

A run has one host, named in its row. Whoever wants something of a run that another process executes gives its host an
order; whoever views a session is told news of it. Neither carries any event: those are in the run's log. What is lost
on the way costs seconds, never a run: rows and logs are the truth, and every process looks at them now and then.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection
from typing import Protocol

from attrs import frozen

from app.errors import NoAnswer
from app.sessions.base import Waiting


@frozen
class Cancel:
    """End a run, in progress or waiting."""

    run_id: str
    reason: str


@frozen
class Begin:
    """Execute a run that waited: its turn has come."""

    session_id: str
    run_id: str


@frozen
class Approve:
    """Answer what a run's agent asked (P4.1)."""

    run_id: str
    call_id: str
    approved: bool
    comment: str | None = None


Order = Cancel | Begin | Approve
"""What the host of a run is asked to do with it."""


@frozen
class Began:
    """A run of the session began."""

    number: int
    run_id: str


@frozen
class Waits:
    """Runs of the session have to wait, or got another place in its queue."""

    waiting: tuple[Waiting, ...]


@frozen
class Ended:
    """A run of the session ended; others may have their turn now."""


@frozen
class Deleted:
    """The session is deleted, and these were its runs."""

    run_ids: tuple[str, ...]


@frozen
class Missed:
    """There may have been news that did not come."""


News = Began | Waits | Ended | Deleted | Missed
"""What those are told who view a session."""


class Member(Protocol):
    """What a process does for its fleet."""

    async def obey(self, order: Order) -> None:
        """Carry out an order.

        Raises:
            Refusal: it can't be; whoever gave it is told so.
        """

    def hear(self, session_id: str, news: News) -> None:
        """Take note of what happened in another process. It must not wait."""


class Fleet(Protocol):
    """The processes of one gateway, as one of them sees them.

    Attributes:
        name: this process's, in the rows of its runs; never used again by another.
        shared: whether there may be others.
    """

    name: str
    shared: bool

    @property
    def meeting(self) -> str:
        """What those have in common that can be one gateway, and nobody else has."""

    def join(self, member: Member) -> None:
        """Have orders and news given to `member` from now on."""

    async def ask(self, host: str, order: Order) -> None:
        """Have a host carry out an order; when this returns, it has.

        Raises:
            Refusal: what the host answered.
            NoAnswer: it did not answer in time. It may have carried out the order, or be about to.
        """

    def send(self, host: str, order: Order) -> None:
        """Give a host an order that it need not answer. It may be lost."""

    def tell(self, session_id: str, news: News) -> None:
        """Tell every other process that views the session, or the run of this id; at most once."""

    def viewed(self, what: str, viewers: int) -> None:
        """Take note of how many view a session, or a run, here, by its id.

        While there are any, news of it are heard. Whenever some may have been lost, as before this takes effect or
        after the connection broke, `Missed` is heard.
        """

    async def viewed_elsewhere(self, *what: str) -> bool:
        """Whether another process has viewers of one of these sessions and runs.

        Raises:
            StoreUnavailable: it can't be found out now.
        """

    async def gone(self, hosts: Collection[str]) -> frozenset[str]:
        """Which of these have died: each has shown no sign of life for a while, and it is not the signs that were lost.

        It may take a few seconds to be sure.

        Raises:
            StoreUnavailable: it can't be found out now.
        """

    async def check(self) -> None:
        """Return if the others can be reached, and know that this process lives.

        Raises:
            StoreUnavailable: they can't be.
        """

    async def close(self) -> None:
        """Leave: this process executes nothing any more."""


class Alone:
    """The one process of an embedded gateway. Every run that goes on is its own."""

    shared = False

    def __init__(self) -> None:
        self.name = self.meeting = secrets.token_hex(8)

    def join(self, member: Member) -> None:
        """As `Fleet.join`; there is nobody to hear of."""

    async def ask(self, host: str, order: Order) -> None:
        """As `Fleet.ask`; any other process is one of before."""
        raise NoAnswer(f"the process {host} is gone, and {type(order).__name__} with it")

    def send(self, host: str, order: Order) -> None:
        """As `Fleet.send`; nobody is there."""

    def tell(self, session_id: str, news: News) -> None:
        """As `Fleet.tell`; nobody is there."""

    def viewed(self, what: str, viewers: int) -> None:
        """As `Fleet.viewed`; nobody else wants to know."""

    async def viewed_elsewhere(self, *what: str) -> bool:  # noqa: ARG002
        """As `Fleet.viewed_elsewhere`."""
        return False

    async def gone(self, hosts: Collection[str]) -> frozenset[str]:
        """As `Fleet.gone`."""
        return frozenset(hosts) - {self.name}

    async def check(self) -> None:
        """As `Fleet.check`."""

    async def close(self) -> None:
        """As `Fleet.close`."""


_: type[Fleet] = Alone
