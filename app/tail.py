"""`runcast tail`: a session in a terminal, its deltas joined to text."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any, Final, TextIO
from urllib.parse import quote

import click
from attrs import define

from app.client import Lost, Message, Refused, follow, is_terminal, messages

_DELTAS: Final = messages.StreamDelta | messages.ThinkingDelta


async def show(url: str, session: str, after: str | None, out: TextIO, token: str | None = None) -> int:
    """Print the session until it is gone; the answer is the exit status."""

    def lost(what: Lost) -> None:
        then = f"resuming after {what.after}" if what.after else "trying again"
        click.echo(f"\nruncast: {url}: {what.error}; {then}", err=True)

    screen = Screen(out, f"{url.rstrip('/')}/sessions/{session}")
    try:
        async with aclosing(follow(url, session, after=after, token=token, on_lost=lost)) as said:
            async for message in said:
                screen.show(message)
    except (Refused, ValueError) as refused:
        click.echo(f"runcast: {_no_server(url, refused) or refused}", err=True)
        return 1
    return 0


def _no_server(url: str, refused: Refused | ValueError) -> str | None:
    """What to say of an answer that is not Runcast's, or none of a path that it knows."""
    if isinstance(refused, Refused) and refused.code in ("not_found", f"http_{refused.status}"):
        return f"{url} answered {refused.status} ({refused}): there seems to be no Runcast server at this address"
    return None


@define
class Screen:
    """Renders messages: deltas run on, everything else has a line of its own.

    Args:
        out: where to.
        session: its URL, for those who want to answer.
    """

    out: TextIO
    session: str = ""
    _open: str = ""
    _run: str = ""
    _answered: bool = False

    def show(self, message: Message) -> None:
        """Render one message."""
        if isinstance(message, _DELTAS):
            self._answered |= message.type == "stream_delta" and not message.agent
            self._run_on(message)
        else:
            for line in self._lines(message):
                self._end_line()
                click.echo(line, file=self.out)
        if isinstance(message, messages.StreamStart) or is_terminal(message):
            self._run = getattr(message, "run_id", "")
            self._answered = False
        self.out.flush()

    def _lines(self, message: Message) -> Iterator[str]:
        if isinstance(message, messages.StreamEnd) and message.content and not self._answered:
            yield _plain(message.content)
        if (line := _line(message)) is not None:
            yield line
        if isinstance(message, messages.ApprovalRequested):
            call = shlex.quote(f"{self.session}/runs/{self._run or 'RUN'}/approvals/{quote(message.call_id, safe='')}")
            yield f"""  answer: curl {call} -H 'content-type: application/json' -d '{{"approved": true}}'"""

    def _run_on(self, message: messages.StreamDelta | messages.ThinkingDelta) -> None:
        speaker = f"{message.type}/{message.agent or ''}"
        if self._open != speaker:
            self._end_line()
            self._open = speaker
            if agent := message.agent:
                click.secho(f"[{_plain(agent)}] ", file=self.out, nl=False, dim=True)
        click.secho(_plain(message.delta), file=self.out, nl=False, dim=message.type == "thinking_delta")

    def _end_line(self) -> None:
        if self._open:
            click.echo(file=self.out)
            self._open = ""


def _line(message: Message) -> str | None:
    match message:
        case messages.StreamStart(input=asked):
            return click.style(f"> {_plain(asked.content)}", bold=True)
        case messages.ToolStarted(tool=tool, args=args):
            return f"  {_by(message)}{_plain(tool)}({_short(args)})"
        case messages.ToolCall(tool=tool, result=result, success=success):
            return f"  {_by(message)}{_plain(tool)} {'ok' if success else 'failed'}: {_short(result)}"
        case messages.ApprovalRequested(call_id=call_id, tool=tool, args=args, reason=reason):
            why = f": {_plain(reason)}" if reason else ""
            return click.style(
                f"? {_plain(tool)}({_short(args)}) asks to be allowed, as {_plain(call_id)}{why}", fg="yellow"
            )
        case messages.ApprovalResolved(call_id=call_id, approved=approved, comment=comment):
            why = f": {_plain(comment)}" if comment else ""
            return f"  {_plain(call_id)} {'allowed' if approved else 'not allowed'}{why}"
        case messages.Custom(name=name, data=data):
            return f"  {_plain(name)}: {_short(data)}"
        case messages.RunQueued(number=number, ahead=ahead):
            return f"-- run {number} waits, {ahead} ahead"
        case _:
            return _last(message)


def _last(message: Message) -> str | None:
    """How a run ended, or what is wrong with the connection."""
    match message:
        case messages.StreamEnd(id=at):
            return click.style(f"-- done at {at}", fg="green")
        case messages.StreamCancelled(id=at, reason=reason):
            return click.style(f"-- cancelled at {at}: {_plain(reason)}", fg="yellow")
        case messages.Error(id=at, code=code, message=text, incident=incident):
            where = f" at {at}" if at else ""
            number = f" (incident {incident})" if incident else ""
            return click.style(f"-- {_plain(code)}{where}: {_plain(text)}{number}", fg="red")
        case messages.Gap(earliest=earliest):
            return click.style(f"-- events before {earliest} are no longer kept", fg="yellow")
        case _:
            return None


def _plain(text: str) -> str:
    """`text` without what would steer the terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


def _by(message: messages.ToolStarted | messages.ToolCall) -> str:
    return f"[{_plain(message.agent)}] " if message.agent else ""


def _short(value: Any, limit: int = 100) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    line = _plain(" ".join(text.split()))
    return line if len(line) <= limit else line[: limit - 1] + "…"
