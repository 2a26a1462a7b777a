"""`runcast tail`: a session in a terminal, its deltas joined to text."""

from __future__ import annotations

import json
from contextlib import aclosing
from typing import Any, Final, TextIO

import click
from attrs import define

from app.client import Lost, Message, Refused, follow, messages

_DELTAS: Final = messages.StreamDelta | messages.ThinkingDelta


async def show(url: str, session: str, after: str | None, out: TextIO, token: str | None = None) -> int:
    """Print the session until it is gone; the answer is the exit status."""

    def lost(what: Lost) -> None:
        then = f"resuming after {what.after}" if what.after else "trying again"
        click.echo(f"\nruncast: {url}: {what.error}; {then}", err=True)

    screen = Screen(out)
    try:
        async with aclosing(follow(url, session, after=after, token=token, on_lost=lost)) as said:
            async for message in said:
                screen.show(message)
    except (Refused, ValueError) as refused:
        click.echo(f"runcast: {refused}", err=True)
        return 1
    return 0


@define
class Screen:
    """Renders messages: deltas run on, everything else has a line of its own."""

    out: TextIO
    _open: str = ""

    def show(self, message: Message) -> None:
        """Render one message."""
        if isinstance(message, _DELTAS):
            self._run_on(message)
        elif (line := _line(message)) is not None:
            self._end_line()
            click.echo(line, file=self.out)
        self.out.flush()

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
        case messages.StreamEnd(id=at):
            return click.style(f"-- done at {at}", fg="green")
        case messages.StreamCancelled(reason=reason):
            return click.style(f"-- cancelled: {_plain(reason)}", fg="yellow")
        case messages.Error(code=code, message=text, incident=incident):
            number = f" (incident {incident})" if incident else ""
            return click.style(f"-- {_plain(code)}: {_plain(text)}{number}", fg="red")
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
