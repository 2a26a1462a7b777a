"""An agent whose failure tells everything that it should keep to itself."""

import os
from collections.abc import AsyncGenerator

from app.agents.base import Turn


async def agent(turn: Turn) -> AsyncGenerator[str]:
    """Say a word, then raise the message and the provider's key as they are."""
    yield "so "
    raise RuntimeError(f"{turn.content}: 401 from https://ada:{os.environ['OPENAI_API_KEY']}@api.example")
