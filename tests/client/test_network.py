"""The Python client in a network whose packets get lost."""

import pytest

from app.client import connect, create_session
from app.client import streams as streams_module
from tests.client.reading_along import TRANSPORTS, is_exact, some, until_terminal
from tests.gateway import Launch
from tests.network import Network, network, peers

__all__ = ["network"]

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("network")]


@pytest.mark.slow
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_pulled_cable_is_noticed_and_the_rest_comes_over_a_new_one(
    launch: Launch, network: Network, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams_module, "SILENCE_S", 0.6)
    monkeypatch.setattr(streams_module, "_PING_S", 0.3)
    gateway = launch(agent="faulty:agent", send_timeout="1")
    session_id = await create_session(gateway.url)
    async with connect(gateway.url, session_id, transport=transport) as session:  # type: ignore[arg-type]
        run = await session.send("tick 300")
        seen = await some(session)
        network.lose_all(*peers(gateway))
        seen += await until_terminal(session)

    await is_exact(gateway, session_id, run, seen)
