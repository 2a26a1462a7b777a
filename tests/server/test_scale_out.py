"""docs/how-to/scale-out.md and deploy/nginx.conf, by a real nginx, two real gateways and a real Valkey."""

import asyncio
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from io import StringIO
from pathlib import Path

import pytest
from dotenv import dotenv_values

from app.client import Message, connect, create_session, is_terminal
from tests.callers import ADA, keyed, shows
from tests.client.reading_along import items
from tests.documents.pages import ROOT, blocks
from tests.gateway import Gateway, Launch, every_event, new_session, start
from tests.nginx import Nginx, address_of, put
from tests.postgres import postgres_server
from tests.runlog.servers import VALKEY, KeyServer, free_port, start_server
from tests.watching import PATIENCE, Item, rise, story, watch_sse, watch_ws

__all__ = ["start_server"]

pytestmark = pytest.mark.anyio

PAGE = "docs/how-to/scale-out.md"
LONG = "/quiet /length 5000 /rate 50"
QUIETLY = ("redis.not_inspected", "lease.not_renewed")


def block(language: str) -> str:
    (found,) = (each.text for each in blocks(PAGE) if each.language == language)
    return found


@pytest.fixture
def keys(start_server: Callable[..., KeyServer], tmp_path: Path) -> KeyServer:
    """A Valkey that is set up as the page says."""
    (tmp_path / "valkey.conf").write_text(block("conf"))
    # The first argument of the command line is the file, if it is no option.
    return start_server(VALKEY, "--include", str(tmp_path / "valkey.conf"))


@pytest.fixture
def pair(keys: KeyServer, launch: Launch, tmp_path: Path) -> tuple[Gateway, Gateway]:
    """Two gateways with the page's settings, and addresses of the test's own."""
    told = dotenv_values(stream=StringIO(block("dotenv")))
    settings = {name.removeprefix("RUNCAST_").lower(): str(value) for name, value in told.items()}
    user, _ = settings["redis_url"].removeprefix("redis://").split("@")
    settings |= {"database_url": postgres_server().migrated(), "redis_url": keys.url.replace("//", f"//{user}@")}
    settings |= {"data_dir": str(tmp_path / "data"), "host": "127.0.0.1", "workers": "1", "drain_timeout": "1"}
    del settings["api_keys_file"]
    return keyed(launch, **settings, port=free_port()), keyed(launch, **settings, port=free_port())  # type: ignore[arg-type]


@pytest.fixture
def proxy(pair: tuple[Gateway, Gateway], tmp_path: Path) -> Iterator[Nginx]:
    page = (ROOT / "deploy" / "nginx.conf").read_text(encoding="utf-8")
    for number, gateway in enumerate(pair, 1):
        page = put(page, f"server gateway-{number}:8000 ", f"server {address_of(gateway)} ")
    with Nginx(page, tmp_path, "/runcast", processes=2) as proxy:
        yield proxy


@pytest.mark.executes(PAGE, "nginx")
def test_the_file_beside_the_compose_file_is_what_the_pages_say() -> None:
    (alone,) = (each.text for each in blocks("docs/how-to/nginx.md") if each.language == "nginx")
    upstream = alone[alone.index("upstream runcast {") :].partition("\n}\n")[0] + "\n}\n"
    page = put(alone, upstream, block("nginx"))
    for address, name in (("10.0.0.11", "gateway-1"), ("10.0.0.12", "gateway-2"), ("runcast.example", "_")):
        page = put(page, address, name)

    assert (ROOT / "deploy" / "nginx.conf").read_text(encoding="utf-8").partition("\n")[2] == page


@pytest.mark.executes(PAGE, "conf", "dotenv")
async def test_what_is_started_through_nginx_is_followed_at_every_gateway_without_stickiness(
    proxy: Nginx, pair: tuple[Gateway, Gateway]
) -> None:
    headers = shows(ADA.key)
    async with proxy.client(headers=headers) as http, AsyncExitStack() as stack:
        session = await new_session(http)
        viewers = []
        for _ in range(4):
            viewers.append(await stack.enter_async_context(watch_ws(proxy, session, additional_headers=headers)))  # type: ignore[arg-type]
            watching = watch_sse(proxy, f"/sessions/{session}/events", headers=headers)  # type: ignore[arg-type]
            viewers.append(await stack.enter_async_context(watching))
        spread = [gateway.connections() for gateway in pair]
        run = await start(http, session, "/quiet /length 40 /rate 100")
        stories = [story(await viewer.until_terminal()) for viewer in viewers]
        log = story(map(Item.of, await every_event(http, session, run)))

    assert min(spread) >= 4
    assert all(each == log for each in stories)
    for gateway in pair:
        assert gateway.complaints == []


@pytest.mark.slow
@pytest.mark.faults
async def test_a_rolling_restart_costs_neither_a_message_nor_a_command(
    proxy: Nginx, pair: tuple[Gateway, Gateway]
) -> None:
    sessions = [await create_session(proxy.url, token=ADA.key) for _ in range(4)]
    stop = asyncio.Event()

    async def converse(session: str) -> list[Message]:
        """Run after run, until everything was restarted, and all that was said."""
        seen = []
        async with connect(proxy.url, session, token=ADA.key, on_lost=lambda _: None) as following:
            while not stop.is_set():
                await following.send("/quiet /length 20 /rate 50", on_conflict="queue")
                seen.append(await anext(following))
                while not is_terminal(seen[-1]):
                    seen.append(await anext(following))
        return seen

    async with asyncio.timeout(4 * PATIENCE), asyncio.TaskGroup() as tasks:
        conversations = [tasks.create_task(converse(session)) for session in sessions]
        for gateway in pair:
            gateway.signal(signal.SIGTERM)
            await asyncio.to_thread(gateway.wait)
            await asyncio.to_thread(gateway.start)
        stop.set()

    async with proxy.client(headers=shows(ADA.key)) as http:
        for session, conversation in zip(sessions, conversations, strict=True):
            rows = (await http.get(f"/sessions/{session}/runs", params={"limit": 100})).json()["items"]
            log = [
                Item.of(raw)
                for row in sorted(rows, key=lambda each: each["number"])
                for raw in await every_event(http, session, row["id"])
            ]
            seen = [each for each in items(conversation.result()) if each.id is not None]
            assert rise(seen)
            assert story(seen) == story(log)
    assert Counter(row["status"] for row in rows).keys() <= {"completed", "interrupted"}


@pytest.mark.slow
async def test_a_gateway_that_dies_is_passed_over_at_once(proxy: Nginx, pair: tuple[Gateway, Gateway]) -> None:
    pair[0].kill()
    for _ in range(20):
        async with proxy.client(headers=shows(ADA.key)) as http:
            assert (await http.post("/sessions")).status_code == 201
