"""How keys and channels are called. A run's name is its hash tag, so that all that is its lies in one slot."""

from __future__ import annotations

from typing import Final

from attrs import frozen

WRITER_CHARS: Final = 8
"""How long the name of a writer is, with which every mark begins."""


@frozen
class Names:
    """The names of everything that one deployment keeps in a server.

    Attributes:
        prefix: before every name; what tells deployments on one server apart.
    """

    prefix: str

    def log(self, run_id: str) -> str:
        """The key of a run's stream."""
        return f"{self.prefix}{{{run_id}}}"

    def channel(self, run_id: str) -> str:
        """Where a run's appends are published."""
        return f"{self.prefix}{{{run_id}}}:live"

    def writer(self, writer: str) -> str:
        """Where a writer is told that another has appended to a log of its own; without a name, the prefix of that."""
        return f"{self.prefix}writer:{writer}"

    @property
    def logs(self) -> str:
        """A pattern that the key of every stream matches."""
        escaped = "".join(f"\\{char}" if char in "\\*?[]^" else char for char in self.prefix)
        return f"{escaped}{{*}}"

    def run_of_log(self, key: str) -> str:
        """The run whose stream has this key."""
        return key[len(self.prefix) + 1 : -1]

    def run_of_channel(self, channel: str) -> str | None:
        """The run whose appends are published there; None for a writer's channel."""
        return self.run_of_log(channel.removesuffix(":live")) if channel.endswith("}:live") else None
