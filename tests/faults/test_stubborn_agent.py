"""A process whose agent will not stop ends all the same."""

import json
import signal

import pytest

from tests.gateway import Launch, log_of, new_session, start

pytestmark = pytest.mark.anyio


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_neither_signal_waits_for_an_agent_that_will_not_stop(launch: Launch, number: int) -> None:
    server = launch(agent="stubborn:agent", drain_timeout="0.1")
    async with server.client() as http:
        session_id = await new_session(http)
        run = await start(http, session_id, "hello")

    server.signal(number)

    assert server.wait(at_most=15) in (-number, 128 + number)
    server.start()
    async with server.client() as http:
        assert json.loads((await log_of(http, session_id, run))[-1])["code"] == "run_interrupted"
