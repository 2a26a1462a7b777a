"""Who comes in, at a running server, by HTTP and by WebSocket (P6.1, P6.2)."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from app.transports.auth.keys import mint
from tests.callers import ADA, BOB, SECRET, ec_key, jwk, jwks, keyed, rsa_key, shows, token
from tests.gateway import Gateway, Launch, new_session
from tests.watching import watch_ws

pytestmark = pytest.mark.anyio

STRANGERS: list[tuple[dict[str, str], str | None]] = [
    ({}, None),
    ({"authorization": ""}, None),
    ({"authorization": "Basic YWRhOmFkYQ=="}, None),
    ({"authorization": "Bearer"}, "invalid_token"),
    ({"authorization": f"Bearer {ADA.key} {BOB.key}"}, "invalid_token"),
    ({"authorization": f"Bearer {ADA.key[:-1]}"}, "invalid_token"),
    ({"authorization": f"Bearer {ADA.entry.partition(':')[2]}"}, "invalid_token"),
    ({"authorization": f"Bearer {'x' * 8000}"}, "invalid_token"),
    ({"authorization": f"Bearer {token()}"}, "invalid_token"),
]


def is_refused(answer: httpx.Response, error: str | None) -> None:
    assert answer.status_code == 401, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["code"], problem["status"], problem["title"]) == ("unauthenticated", 401, "Not authenticated")
    challenge = 'Bearer realm="runcast"' + (f', error="{error}"' if error else "")
    assert answer.headers["www-authenticate"] == challenge


async def closing(gateway: Gateway, session: str, query: str = "", **options: Any) -> tuple[int | None, str | None]:
    """The close code of a WebSocket that is turned away after its handshake, and the subprotocol it was answered."""
    async with watch_ws(gateway, f"{session}{query}", **options) as watch:
        assert watch.socket is not None
        with pytest.raises(ConnectionClosed):
            await watch.until(lambda _: False)
        return watch.socket.close_code, watch.socket.subprotocol


async def is_let_in(gateway: Gateway, session: str, query: str = "", **options: Any) -> str | None:
    """Have a WebSocket answered; its subprotocol."""
    async with watch_ws(gateway, f"{session}{query}", **options) as watch:
        assert watch.socket is not None
        await watch.until_type("caught_up")
        await watch.socket.send('{"type":"ping"}')
        await watch.until_type("pong")
        return watch.socket.subprotocol


async def test_a_key_opens_its_owners_sessions_and_no_others(guarded: Gateway) -> None:
    async with guarded.client(headers=shows(ADA.key)) as ada, guarded.client(headers=shows(BOB.key)) as bob:
        session = await new_session(ada)
        assert [one["id"] for one in (await ada.get("/sessions")).json()["items"]] == [session]
        assert (await bob.get("/sessions")).json()["items"] == []
        assert (await bob.get(f"/sessions/{session}")).status_code == 404
    assert await is_let_in(guarded, session, additional_headers=shows(ADA.key)) is None
    assert await closing(guarded, session, additional_headers=shows(BOB.key)) == (4004, None)


async def test_a_stranger_is_refused_by_http_with_a_challenge(guarded: Gateway) -> None:
    async with guarded.client() as http:
        for headers, error in STRANGERS:
            is_refused(await http.get("/sessions", headers=headers), error)
            is_refused(await http.post("/sessions", headers=headers, content="no json"), error)


async def test_a_stranger_is_refused_by_websocket_with_4401_after_the_handshake(guarded: Gateway) -> None:
    async with guarded.client(headers=shows(ADA.key)) as ada:
        session = await new_session(ada)
    for headers, _ in STRANGERS:
        assert await closing(guarded, session, additional_headers=headers) == (4401, None)
    for query in ("?ticket=", "?ticket=a.b.c", "?ticket=a&ticket=b", f"?token={ADA.key}", f"?ticket={ADA.key}"):
        assert (await closing(guarded, session, query))[0] == 4401


async def test_a_subprotocol_carries_the_token_and_ours_is_the_answer(guarded: Gateway) -> None:
    async with guarded.client(headers=shows(ADA.key)) as ada:
        session = await new_session(ada)
    offered = ["runcast.v1", f"bearer.{ADA.key}"]
    assert await is_let_in(guarded, session, subprotocols=offered) == "runcast.v1"
    assert await is_let_in(guarded, session, subprotocols=offered[::-1]) == "runcast.v1"
    assert await closing(guarded, session, subprotocols=["runcast.v1", f"bearer.{BOB.key}"]) == (4004, "runcast.v1")
    assert await closing(guarded, session, subprotocols=["runcast.v1", "bearer.wrong"]) == (4401, "runcast.v1")
    assert await closing(guarded, session, subprotocols=["runcast.v1"]) == (4401, "runcast.v1")


async def test_without_authentication_tokens_are_ignored_and_our_subprotocol_is_still_the_answer(
    launch: Launch,
) -> None:
    gateway = launch()
    async with gateway.client(headers={"authorization": "Bearer whatever it is"}) as http:
        session = await new_session(http)
    assert await is_let_in(gateway, session, "?ticket=x", subprotocols=["runcast.v1", "bearer.x"]) == "runcast.v1"


async def test_what_anybody_may_see_needs_no_token(launch: Launch) -> None:
    gateway = keyed(launch, base_path="/runcast")
    async with gateway.client() as http:
        for path in ("/", "/client.js", "/health/live", "/health/ready", "/schema/openapi.json"):
            answer = await http.get(path, headers={"authorization": "Bearer nonsense"})
            assert (path, answer.status_code) == (path, 200)
        assert (await http.get("/no/such/route")).status_code == 404


async def test_with_authentication_it_listens_everywhere(launch: Launch) -> None:
    gateway = keyed(launch, host="0.0.0.0")
    gateway.url = gateway.url.replace("0.0.0.0", "127.0.0.1")
    async with gateway.client() as http:
        is_refused(await http.get("/profiles"), None)
        assert (await http.get("/profiles", headers=shows(ADA.key))).status_code == 200


async def test_a_jwt_opens_its_subjects_sessions(launch: Launch) -> None:
    gateway = launch(auth="jwt", jwt_secret=SECRET)
    async with gateway.client(headers=shows(token())) as ada:
        session = await new_session(ada)
        assert (await ada.get(f"/sessions/{session}", headers=shows(token(sub="bob")))).status_code == 404
        for shown in (token(exp=1), token("another secret, as long as it has to be"), token(sub=None), ADA.key):
            is_refused(await ada.get(f"/sessions/{session}", headers=shows(shown)), "invalid_token")
    offered = ["runcast.v1", f"bearer.{token()}"]
    assert await is_let_in(gateway, session, subprotocols=offered) == "runcast.v1"
    assert (await closing(gateway, session, subprotocols=["runcast.v1", f"bearer.{token(exp=1)}"]))[0] == 4401


async def answered(http: httpx.AsyncClient, shown: str, status: int) -> None:
    """Wait until a token is answered so."""
    async with asyncio.timeout(20):
        while (await http.get("/profiles", headers=shows(shown))).status_code != status:
            pass


@pytest.mark.slow
async def test_keys_for_jwt_are_rotated_while_it_serves(launch: Launch, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    old, new = jwk(rsa_key("old"), kid="old"), jwk(ec_key("new"), kid="new")
    await asyncio.to_thread(path.write_text, jwks(old))
    gateway = launch(auth="jwt", jwt_keys_file=str(path))
    first = token(rsa_key("old"), "RS256", headers={"kid": "old"})
    second = token(ec_key("new"), "ES256", headers={"kid": "new"})
    async with gateway.client() as http:
        await answered(http, first, 200)
        is_refused(await http.get("/profiles", headers=shows(second)), "invalid_token")
        await asyncio.to_thread(path.write_text, jwks(old, new))
        await answered(http, second, 200)
        await answered(http, first, 200)
        await asyncio.to_thread(path.write_text, jwks(new))
        await answered(http, first, 401)
        await answered(http, second, 200)


@pytest.mark.slow
async def test_api_keys_are_rotated_while_it_serves_and_open_streams_go_on(launch: Launch, tmp_path: Path) -> None:
    path, later = tmp_path / "keys", mint("ada")
    await asyncio.to_thread(path.write_text, f"{ADA.entry}\n")
    gateway = launch(auth="keys", api_keys_file=str(path))
    async with gateway.client() as http:
        session = (await http.post("/sessions", headers=shows(ADA.key))).json()["id"]
        async with watch_ws(gateway, session, additional_headers=shows(ADA.key)) as watch:
            assert watch.socket is not None
            await asyncio.to_thread(path.write_text, f"# rotated\n{later.entry}\n")
            await answered(http, later.key, 200)
            await answered(http, ADA.key, 401)
            await watch.socket.send(json.dumps({"type": "message", "content": "/quiet /length 3 /rate 0"}))
            assert (await watch.until_terminal())[-1].type == "stream_end"
