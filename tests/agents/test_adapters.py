"""What `package.module:attribute` may name, and what it may not."""

from collections.abc import AsyncIterator
from functools import partial

import pytest

from app.agents.adapters import as_agent
from app.agents.base import Image, Turn
from app.errors import ConfigurationError

pytestmark = pytest.mark.anyio


async def function(turn: Turn) -> AsyncIterator[str]:
    yield f"heard {turn.content}"


async def with_mood(mood: str, turn: Turn) -> AsyncIterator[str]:
    yield f"{mood} {turn.content}"


class Modern:
    async def run_stream(self, turn: Turn) -> AsyncIterator[str]:
        yield f"heard {turn.content}"


class Original:
    closed = False

    async def run_stream(self, session_id, content, images=None):
        yield f"{session_id} {content} {images}"

    async def aclose(self) -> None:
        self.closed = True


class OriginalWithoutImages:
    async def run_stream(self, session_id, content):
        yield f"{session_id} {content}"


class OriginalWithKeywords:
    async def run_stream(self, session_id, content, **rest):
        yield f"{session_id} {content} {rest}"


class Passing:
    """Hands over another generator, as a plain method may."""

    def run_stream(self, turn: Turn) -> AsyncIterator[str]:
        return function(turn)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (function, "heard hello"),
        (partial(with_mood, "gladly"), "gladly hello"),
        (Modern, "heard hello"),
        (Modern(), "heard hello"),
        (Passing(), "heard hello"),
        (Original, "s1 hello None"),
        (Original(), "s1 hello None"),
        (OriginalWithoutImages(), "s1 hello"),
        (OriginalWithKeywords(), "s1 hello {'images': None}"),
    ],
)
async def test_every_shape_of_an_agent_runs(found, said, collect, turn):
    assert await collect(as_agent(found, name="m:a"), turn("hello")) == [said]


async def test_the_original_signature_gets_bare_base64_images(collect, turn):
    with_image = turn("hello", images=[Image("image/png", b"\x89PNG")])
    assert await collect(as_agent(Original, name="m:a"), with_image) == ["s1 hello ['iVBORw==']"]


async def test_closing_reaches_an_original_agent():
    inner = Original()
    await as_agent(inner, name="m:a").aclose()
    assert inner.closed


async def coroutine(turn: Turn) -> str:
    return turn.content


def plain(turn: Turn) -> str:
    return turn.content


async def of_nothing() -> AsyncIterator[str]:
    yield ""


class Demanding(Modern):
    def __init__(self, key: str) -> None:
        self.key = key


class CoroutineMethod:
    async def run_stream(self, turn: Turn) -> str:
        return turn.content


class TakesThree:
    async def run_stream(self, one, two, three):
        yield one


class NoMethod:
    run_stream = 3


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (coroutine, "coroutine function"),
        (plain, "async generator function"),
        (of_nothing, "only argument"),
        (3, "is a int"),
        (None, "is a NoneType"),
        (dict, "without a method `run_stream`"),
        (Demanding, "without arguments"),
        (CoroutineMethod(), "coroutine function"),
        (TakesThree(), "only argument"),
        (NoMethod(), "is a int"),
    ],
)
def test_anything_else_is_refused_with_what_to_change(found, said):
    with pytest.raises(ConfigurationError, match=said) as caught:
        as_agent(found, name="m:a")
    assert "m:a" in str(caught.value)
