"""A model's tool that waits for a person, in a real server: asked in one connection, answered in another."""

import json
from pathlib import Path

import pytest

pytest.importorskip("pydantic_ai", reason="the extra `agent` is not installed")

from tests.gateway import Gateway, Launch, gateway, launch, log_of, new_session, start
from tests.watching import watch_sse, watch_ws

__all__ = ["gateway", "launch"]

pytestmark = pytest.mark.anyio

PROFILES = """
[profiles.careful]
agent = "pydantic-ai"
model = "test"
tools = ["deleting:delete"]
needs_approval = ["delete"]
"""


@pytest.fixture
def careful(launch: Launch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gateway:
    """A server whose model wants to delete a file; what it deleted is in `deleted.txt`."""
    monkeypatch.setenv("DELETED", str(tmp_path / "deleted.txt"))
    (tmp_path / "profiles.toml").write_text(PROFILES)
    return launch(profiles=str(tmp_path / "profiles.toml"))


async def test_a_reloaded_tab_finds_the_question_and_answers_it(careful: Gateway, tmp_path: Path) -> None:
    async with careful.client() as http:
        session = await new_session(http)
        async with watch_ws(careful, session) as first:
            run = await start(http, session, "Tidy up")
            asked = (await first.until_type("approval_requested"))[-1].message
        assert not (tmp_path / "deleted.txt").exists()
        async with watch_ws(careful, session) as second:
            assert (await second.until_type("approval_requested"))[-1].message == asked
            assert second.socket is not None
            command = {"type": "approve", "call_id": asked["call_id"], "approved": True, "request_id": "r"}
            await second.socket.send(json.dumps(command))
            seen = [item.type for item in await second.until_terminal()]
        events = [json.loads(event) for event in await log_of(http, session, run)]

    assert {"ack", "approval_resolved", "tool_call"} <= set(seen)
    assert next(event for event in events if event["type"] == "tool_call")["result"] == "deleted a"
    assert (tmp_path / "deleted.txt").read_text() == "a"


async def test_a_refusal_over_http_reaches_the_model(careful: Gateway, tmp_path: Path) -> None:
    async with careful.client() as http:
        session = await new_session(http)
        run = await start(http, session, "Tidy up")
        path = f"/sessions/{session}/runs/{run}"
        async with watch_sse(careful, f"{path}/events") as viewer:
            asked = (await viewer.until_type("approval_requested"))[-1].message
            answer = {"approved": False, "comment": "keep it"}
            assert (await http.post(f"{path}/approvals/{asked['call_id']}", json=answer)).status_code == 202
            terminal = (await viewer.until_terminal())[-1].message

    assert "They said: keep it" in terminal["content"]
    assert not (tmp_path / "deleted.txt").exists()
