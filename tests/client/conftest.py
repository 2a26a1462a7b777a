"""The servers that the client is tried against, and a cable on the way to them."""

from collections.abc import AsyncIterator

import pytest

from tests.cable import Cable
from tests.callers import guarded
from tests.gateway import Gateway, gateway, launch

__all__ = ["gateway", "guarded", "launch"]


@pytest.fixture
async def cable(gateway: Gateway) -> AsyncIterator[Cable]:
    async with Cable.plugged(lambda: gateway.url) as cable:
        yield cable
