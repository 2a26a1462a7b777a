"""Agents that read what was uploaded: one that takes the turn, and one as they were written before there were turns."""

import hashlib
import json
import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from app.agents.base import Turn


def digest(path: str) -> str:
    """A digest of a file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


async def agent(turn: Turn) -> AsyncGenerator[str]:
    """Answer with what the agent is told of the files, and a digest of what it reads from each."""
    files = [
        {"id": file.id, "name": file.name, "path": file.path, "size": file.size, "media_type": file.media_type}
        for file in turn.files
    ]
    digests = [digest(file.path) for file in turn.files]
    yield json.dumps({"content": turn.content, "files": files, "digests": digests})


class Original:
    """Opens the paths that it finds in the content."""

    async def run_stream(self, session_id: str, content: str, images: Any = None) -> AsyncGenerator[str]:
        """Answer with the content and a digest of what it reads from each file."""
        del session_id, images
        paths = re.findall(r"^- .+ → (.+?)\]?$", content, re.MULTILINE)
        yield json.dumps({"content": content, "digests": [digest(path) for path in paths]})


original = Original()
