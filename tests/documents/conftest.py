"""What every test of a page may need."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.callers import guarded
from tests.documents.reader import Reader
from tests.gateway import gateway, launch

__all__ = ["gateway", "guarded", "launch"]


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    with contextlib.ExitStack() as stack:
        yield Reader(tmp_path, stack)
