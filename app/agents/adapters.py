"""From what a user wrote to an Agent: the shapes that `package.module:attribute` may name."""

from __future__ import annotations

import base64
import inspect
from collections.abc import AsyncIterator, Callable
from typing import Any

from attrs import frozen

from app.agents.base import Agent, Turn
from app.errors import ConfigurationError
from app.events import Event

_SHAPES = (
    "it must be an async generator function that takes the turn, or an object or class with such a method `run_stream`"
)


@frozen
class FunctionAgent:
    """An async generator function as an agent."""

    function: Callable[[Turn], AsyncIterator[Event | str]]

    def run_stream(self, turn: Turn) -> AsyncIterator[Event | str]:
        """Perform one run."""
        return self.function(turn)


@frozen
class OriginalAgent:
    """An agent with the original signature: `run_stream(session_id, content, images=None)`.

    Attributes:
        inner: the object that performs the run.
        takes_images: whether its method has a parameter for images, which get bare base64 strings.
    """

    inner: Any
    takes_images: bool

    def run_stream(self, turn: Turn) -> AsyncIterator[Event | str]:
        """Perform one run."""
        stream: AsyncIterator[Event | str]
        if self.takes_images:
            images = [base64.b64encode(image.data).decode("ascii") for image in turn.images]
            stream = self.inner.run_stream(turn.session_id, turn.content, images=images or None)
        else:
            stream = self.inner.run_stream(turn.session_id, turn.content)
        return stream

    async def aclose(self) -> None:
        """Close the inner agent, if it can be."""
        close = getattr(self.inner, "aclose", None)
        if close is not None:
            await close()


def as_agent(found: Any, *, name: str) -> Agent:
    """Make an Agent of what was found under `name` (`package.module:attribute`).

    Raises:
        ConfigurationError: it has none of the shapes that are taken; the message says which are.
    """
    if inspect.isclass(found):
        found = _instance(found, name)
    if hasattr(found, "run_stream"):
        return _object_agent(found, name)
    _check_streams(found, name)
    _check_takes_turn(found, name)
    return FunctionAgent(found)


def _instance(cls: type[Any], name: str) -> Any:
    if not hasattr(cls, "run_stream"):
        raise ConfigurationError(f"{name} is a class without a method `run_stream`: {_SHAPES}")
    try:
        return cls()
    except Exception as error:
        raise ConfigurationError(
            f"{name} can't be created without arguments: {type(error).__name__}: {error}"
        ) from error


def _object_agent(found: Any, name: str) -> Agent:
    method, where = found.run_stream, f"{name}.run_stream"
    if inspect.iscoroutinefunction(method) or not callable(method):
        _check_streams(method, where)
    parameters = inspect.signature(method).parameters
    if list(parameters)[:2] == ["session_id", "content"]:
        keywords = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
        return OriginalAgent(found, takes_images="images" in parameters or keywords)
    _check_takes_turn(method, where)
    agent: Agent = found
    return agent


def _check_streams(found: Any, name: str) -> None:
    if inspect.iscoroutinefunction(found):
        raise ConfigurationError(f"{name} is a coroutine function, which answers only once: {_SHAPES}; let it `yield`")
    if not inspect.isasyncgenfunction(found):
        raise ConfigurationError(f"{name} is a {type(found).__name__}: {_SHAPES}")


def _check_takes_turn(function: Callable[..., Any], name: str) -> None:
    signature = inspect.signature(function)
    try:
        signature.bind(object())
    except TypeError:
        raise ConfigurationError(
            f"{name}{signature} can't be called with the turn as its only argument; "
            "write `(turn)`, or the original `(session_id, content, images=None)` on an object's `run_stream`"
        ) from None
