"""Positions: where an event stands in its session (protocol, section 1)."""

from __future__ import annotations

import re

from attrs import frozen

from app.errors import BadPosition

_FORM = re.compile(r"0|0-0|([1-9][0-9]{0,17})-(0|[1-9][0-9]{0,17})", re.ASCII)


@frozen(order=True)
class Position:
    """The pair (run number, seq), ordered as such; written `3-17`. `0-0` is before the first event."""

    run: int
    seq: int

    def __str__(self) -> str:
        return f"{self.run}-{self.seq}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """Read a position as clients send it.

        Raises:
            BadPosition: the text has another form (P3.6).
        """
        found = _FORM.fullmatch(text)
        if found is None:
            raise BadPosition("a position looks like 3-17, or 0")
        run, seq = found.groups()
        return cls(int(run), int(seq)) if run else START


START = Position(0, 0)
"""Before the first event of a session."""
