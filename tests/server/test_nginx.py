"""docs/how-to/nginx.md: its configuration, in a real nginx before a real server."""

import asyncio
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from dotenv import dotenv_values
from websockets.exceptions import ConnectionClosed

from tests.callers import ADA, keyed, shows
from tests.documents.pages import blocks
from tests.gateway import Gateway, Launch, new_session, start
from tests.nginx import Nginx, address_of, put
from tests.watching import PATIENCE, text_of, watch_sse, watch_ws

pytestmark = pytest.mark.anyio

PAGE = "docs/how-to/nginx.md"
MIB = 1024 * 1024


class Proxy(Nginx):
    """The page's configuration before one server."""

    def __init__(self, gateway: Gateway, folder: Path) -> None:
        (page,) = (block.text for block in blocks(PAGE) if block.language == "nginx")
        super().__init__(put(page, "server 127.0.0.1:8000;", f"server {address_of(gateway)};"), folder, "/runcast")


async def logged(proxy: Proxy, request: str) -> str:
    """The access log, once it has `request`: nginx writes about a request after it has answered."""
    async with asyncio.timeout(PATIENCE):
        while request not in (log := proxy.access_log.read_text()):  # noqa: ASYNC110 - a file has no event to wait for
            await asyncio.sleep(0.02)
        return log


@pytest.fixture
def proxy(launch: Launch, tmp_path: Path) -> Iterator[Proxy]:
    (told,) = (block.text for block in blocks(PAGE) if block.language == "dotenv")
    settings = {
        name.removeprefix("RUNCAST_").lower(): str(value)
        for name, value in dotenv_values(stream=StringIO(told)).items()
    }
    with Proxy(keyed(launch, **settings), tmp_path) as proxy:
        yield proxy


@pytest.mark.executes("docs/how-to/nginx.md", "nginx", "dotenv")
async def test_every_door_is_under_the_base_path_and_nowhere_else(proxy: Proxy) -> None:
    async with proxy.client(headers=shows(ADA.key)) as http:
        pages = [await http.get(path) for path in ("/", "/client.js", "/profiles", "/sessions")]
        document = (await http.get("/schema/openapi.json")).json()
        outside = [await http.get(f"{proxy.origin}{path}") for path in ("/profiles", "/runcastle/profiles")]
        hidden = [await http.get(path) for path in ("/metrics", "/health/ready")]

    assert [page.status_code for page in pages] == [200] * 4
    assert all(path.startswith("/runcast/") for path in document["paths"])
    assert [answer.status_code for answer in outside] == [404, 404]
    assert [answer.status_code for answer in hidden] == [403, 403]


@pytest.mark.parametrize("transport", ["ws", "sse"])
async def test_events_come_one_by_one(proxy: Proxy, transport: str) -> None:
    async with proxy.client(headers=shows(ADA.key)) as http:
        session = await new_session(http)
        headers = shows(ADA.key) | {"origin": proxy.origin}
        if transport == "ws":
            watching = watch_ws(proxy, session, additional_headers=headers)  # type: ignore[arg-type]
        else:
            watching = watch_sse(proxy, f"/sessions/{session}/events", headers=headers)  # type: ignore[arg-type]
        async with watching as viewer:
            run = await start(http, session, "/quiet /length 12 /rate 10")
            seen = await viewer.until_type("stream_delta")
            assert (await http.get(f"/sessions/{session}/runs/{run}")).json()["status"] == "running"
            seen += await viewer.until_terminal()

    assert text_of(seen) == seen[-1].message["content"]


async def test_pages_of_others_are_strangers_behind_the_proxy_too(proxy: Proxy) -> None:
    async with proxy.client(headers=shows(ADA.key)) as http:
        session = await new_session(http)
        foreign = await http.post("/sessions", headers={"origin": "http://evil.example"})
        own = await http.post("/sessions", headers={"origin": proxy.origin})
    headers = shows(ADA.key) | {"origin": "http://evil.example"}
    async with watch_ws(proxy, session, additional_headers=headers) as viewer:  # type: ignore[arg-type]
        with pytest.raises(ConnectionClosed):
            await viewer.next()
        assert viewer.socket is not None
        assert viewer.socket.close_code == 4403

    assert (foreign.status_code, own.status_code) == (403, 201)


async def test_files_of_twenty_megabytes_pass_and_queries_are_not_logged(proxy: Proxy) -> None:
    async with proxy.client(headers=shows(ADA.key)) as http:
        session = await new_session(http)
        path = f"/sessions/{session}/files"
        taken = await http.post(path, files={"file": ("a.bin", b"\0" * 20 * MIB)})
        refused = await http.post(f"{path}?ticket=canary", files={"file": ("a.bin", b"\0" * 22 * MIB)})
        await http.get(f"/sessions/{session}?ticket=canary")

    assert (taken.status_code, refused.status_code) == (201, 413)
    log = await logged(proxy, f"GET /runcast/sessions/{session}")  # the last request: nginx logs in their order
    assert "canary" not in log + proxy.error_log.read_text()
