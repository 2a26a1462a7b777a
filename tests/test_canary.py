"""I14: secrets are carried through every door, and none is found in what the server logs or answers."""

import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.callers import shows, token
from tests.doors import doors
from tests.gateway import Gateway, Launch, launch, log_of, new_session, start

__all__ = ["launch"]

pytestmark = pytest.mark.anyio

PROVIDER = "canary-provider-key-0123456789"
SIGNING = "canary that signs tickets, 0123456789"
JWT_SECRET = "canary that signs tokens, 0123456789"
KEY = "rc_canaryABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcd"
WRONG = "canary-wrong-token-0123456789"
WORDS = "canary in the words of an exception"


class Told:
    """Everything that the server said to its callers."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    @asynccontextmanager
    async def client(self, gateway: Gateway, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
        async def note(response: httpx.Response) -> None:
            self.texts.append(f"{response.status_code} {dict(response.headers)}")
            if not response.headers.get("content-type", "").startswith("text/event-stream"):
                self.texts.append((await response.aread()).decode())

        async with gateway.client(event_hooks={"response": [note]}, **options) as http:
            yield http

    async def socket(self, gateway: Gateway, path: str, *frames: str, **options: Any) -> None:
        """Send frames; everything that comes until the server closes, or has nothing to say about the last."""
        async with connect(f"{gateway.ws_url}{path}", **options) as socket:
            self.texts.append(str(socket.response and socket.response.headers))
            try:
                for frame in (*frames, '{"type":"ping","request_id":"last"}'):
                    await socket.send(frame)
                while '"last"' not in (text := str(await socket.recv())):
                    self.texts.append(text)
            except ConnectionClosed:
                self.texts.append(f"{socket.close_code} {socket.close_reason}")


async def knock(told: Told, gateway: Gateway, good: str) -> list[str]:
    """Carry secrets through every door; the tickets that were made on the way."""
    tickets: list[str] = []
    async with told.client(gateway, headers=shows(good)) as http:
        session = await new_session(http)
        run = await start(http, session, WORDS)
        await log_of(http, session, run)
        tickets.append((await http.post("/tickets", json={"session_id": session})).json()["ticket"])
        await http.get(f"/sessions/{session}/messages")
        for body in (f'{{"content": "{good}', f'{{"content": {{"key": "{good}"}}}}', good, f'"{tickets[0]}"'):
            await http.post(f"/sessions/{session}/runs", content=body)
            await http.post("/tickets", content=body)
    shown = [{"headers": shows(good)}, {"headers": shows(WRONG)}, {"headers": {"authorization": f"Basic {WRONG}"}}]
    shown += [{"params": {"ticket": tickets[0]}}, {"params": {"ticket": WRONG}}, {"params": {"token": good}}]
    for way in shown:
        async with told.client(gateway, **way) as http, gateway.client(headers=shows(good)) as known:
            for door in doors():
                other = await new_session(known) if door.name == "deleteSession" else session
                await door.ask(http, other, run)
            await http.get(f"/no/such/route/{good}")
    path = f"/ws/sessions/{session}"
    for credential in (good, WRONG):
        command = json.dumps({"type": "message", "content": WORDS, "key": credential})
        frames = (credential, json.dumps({"type": credential}), json.dumps({"type": "cancel", "run_id": 7}), command)
        await told.socket(gateway, path, *frames, additional_headers=shows(credential))
        await told.socket(gateway, path, *frames, subprotocols=["runcast.v1", f"bearer.{credential}"])
    for ticket in (tickets[0], WRONG):
        await told.socket(gateway, f"{path}?ticket={ticket}&after=0", WORDS)
        await told.socket(gateway, f"{path}?after={WRONG}&ticket={ticket}")
    return tickets


def keys() -> tuple[str, dict[str, str]]:
    return KEY, {"auth": "keys", "api_keys": f"ada:{sha256(KEY.encode()).hexdigest()}"}


def tokens() -> tuple[str, dict[str, str]]:
    return token(JWT_SECRET), {"auth": "jwt", "jwt_secret": JWT_SECRET}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("way", [keys, tokens])
async def test_no_secret_is_in_a_log_line_or_an_answer(
    launch: Launch, monkeypatch: pytest.MonkeyPatch, form: str, way: Callable[[], tuple[str, dict[str, str]]]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", PROVIDER)
    good, settings = way()
    gateway = launch(agent="leaky:agent", secret=SIGNING, log_level="debug", log_format=form, **settings)
    told = Told()
    tickets = await knock(told, gateway, good)
    gateway.stop()
    logged = gateway.stderr
    gateway.forget()

    for secret in (PROVIDER, SIGNING, JWT_SECRET, good, WRONG, *tickets):
        assert not re.findall(f".*{re.escape(secret)}.*", logged)
    assert "request.answered" in logged
    assert "agent.crashed" in logged
    assert "RuntimeError" in logged
    assert "[redacted]@api.example" in logged

    answers = "\n".join(told.texts)
    for secret in (PROVIDER, SIGNING, JWT_SECRET):
        assert secret not in answers
    assert "internal_error" in answers
    assert "401 from" not in answers
