"""Pages of other origins at a running server that asks who calls (P6.4)."""

from collections.abc import Iterator

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.callers import ADA, BOB, shows
from tests.gateway import Gateway, Launch, new_session

pytestmark = pytest.mark.anyio

PAGE, EVIL = {"origin": "https://app.example"}, {"origin": "https://evil.example"}
ASKED = {
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization, content-type, idempotency-key, last-event-id",
}


@pytest.fixture(scope="module", name="gateway")
def _gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Knows Ada and Bob, and lets pages of one other origin in."""
    settings = {"auth": "keys", "api_keys": f"{ADA.entry},{BOB.entry}", "allowed_origins": PAGE["origin"]}
    gateway = Gateway(tmp_path_factory.mktemp("cors"), **settings)
    try:
        yield gateway.start()
    finally:
        gateway.close()


def named(answer: httpx.Response) -> str | None:
    """The origin that the answer lets read it; caches must know that what they may keep depends on who asks."""
    if answer.is_success:
        assert "origin" in answer.headers["vary"].lower()
    assert "access-control-allow-credentials" not in answer.headers
    return answer.headers.get("access-control-allow-origin")


@pytest.mark.parametrize("path", ["/sessions", "/sessions/s/runs", "/sessions/s/events", "/tickets", "/metrics"])
async def test_a_preflight_needs_no_token(gateway: Gateway, path: str) -> None:
    async with gateway.client() as http:
        answer = await http.options(path, headers=PAGE | ASKED)
    assert (answer.status_code, named(answer)) == (204, PAGE["origin"])
    allowed = answer.headers["access-control-allow-headers"].lower().split(", ")
    assert set(ASKED["access-control-request-headers"].split(", ")) <= set(allowed)
    assert {"GET", "POST", "DELETE"} <= set(answer.headers["access-control-allow-methods"].split(", "))
    assert "*" not in str(answer.headers)


async def test_a_preflight_of_another_origin_is_refused(gateway: Gateway) -> None:
    async with gateway.client(headers=EVIL | ASKED) as http:
        answer = await http.options("/sessions")
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden_origin")
    assert answer.headers["content-type"] == "application/problem+json"
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("asked", [{"method": "PUT"}, {"method": "POST", "headers": "x-other"}])
async def test_a_preflight_for_what_no_page_may_ask_is_refused(gateway: Gateway, asked: dict[str, str]) -> None:
    headers = PAGE | {f"access-control-request-{name}": value for name, value in asked.items()}
    async with gateway.client(headers=headers) as http:
        answer = await http.options("/sessions")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_message")
    assert answer.headers["content-type"] == "application/problem+json"
    assert "access-control-allow-origin" not in answer.headers


async def test_an_allowed_page_may_read_what_it_is_told_even_that_it_is_not_known(gateway: Gateway) -> None:
    async with gateway.client(headers=PAGE) as http:
        for answer in (await http.get("/sessions"), await http.post("/sessions")):
            assert (answer.status_code, answer.json()["code"], named(answer)) == (
                401,
                "unauthenticated",
                PAGE["origin"],
            )
        for answer in (await http.get("/sessions/none", headers=shows(ADA.key)), await http.get("/client.js")):
            assert named(answer) == PAGE["origin"]
        session = await new_session(known := gateway.client(headers=shows(ADA.key)))
        await known.aclose()
        ticket = await http.post("/tickets", json={"session_id": session}, headers=shows(ADA.key))
        assert (ticket.status_code, named(ticket)) == (201, PAGE["origin"])
        query = {"ticket": ticket.json()["ticket"]}
        async with http.stream("GET", f"/sessions/{session}/events", params=query) as stream:
            assert (stream.status_code, named(stream)) == (200, PAGE["origin"])


async def test_another_page_changes_nothing_whatever_it_shows_and_may_read_nothing(gateway: Gateway) -> None:
    async with gateway.client(headers=EVIL) as http:
        for headers in ({}, shows(ADA.key), shows("wrong")):
            answer = await http.post("/sessions", headers=headers)
            assert (answer.status_code, answer.json()["code"], named(answer)) == (403, "forbidden_origin", None)
            assert named(await http.get("/sessions", headers=headers)) is None


async def test_the_servers_own_page_is_no_foreigner(gateway: Gateway) -> None:
    async with gateway.client(headers={"origin": gateway.url, **shows(BOB.key)}) as http:
        assert (await http.post("/sessions")).status_code == 201


async def test_callers_that_are_no_pages_are_not_asked_for_an_origin(gateway: Gateway) -> None:
    async with gateway.client(headers=shows(BOB.key)) as http:
        answer = await http.post("/sessions")
        assert (answer.status_code, named(answer)) == (201, None)


async def test_a_name_that_was_made_to_lead_here_is_not_answered_where_nobody_authenticates(launch: Launch) -> None:
    gateway = launch()
    rebound = {"host": f"evil.example:{gateway.url.rpartition(':')[2]}"}
    async with gateway.client() as http:
        session = await new_session(http)
        for answer in (
            await http.get(f"/sessions/{session}", headers=rebound),
            await http.get("/", headers=rebound),
            await http.post("/sessions", headers={**rebound, "origin": f"http://{rebound['host']}"}),
        ):
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden_origin")
    url = f"ws://{rebound['host']}/ws/sessions/{session}"
    async with connect(url, host="127.0.0.1", origin=f"http://{rebound['host']}", proxy=None) as socket:
        with pytest.raises(ConnectionClosed):
            await socket.recv()
    assert socket.close_code == 4403
