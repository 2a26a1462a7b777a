"""An agent that says more than any socket buffer holds."""

from collections.abc import AsyncGenerator

from app.agents.base import Turn

PIECE = "x" * 50_000
PIECES = 120


async def agent(turn: Turn) -> AsyncGenerator[str]:
    """Answer with six megabytes."""
    del turn
    for _ in range(PIECES):
        yield PIECE
