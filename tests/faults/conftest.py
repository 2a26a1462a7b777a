"""The server process that these tests talk to, and the mark that `make faults` goes by."""

from pathlib import Path

import pytest

from tests.gateway import gateway, launch

__all__ = ["gateway", "launch"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.faults)
