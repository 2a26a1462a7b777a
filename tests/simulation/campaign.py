"""How many schedules, of which seeds: `RUNCAST_SCHEDULES` in all, or just the one of `RUNCAST_SEED`."""

from __future__ import annotations

import os

import pytest

SCHEDULES = int(os.environ.get("RUNCAST_SCHEDULES", "2000"))
SEED = os.environ.get("RUNCAST_SEED")
_AT_ONCE = 200
"""Schedules in one test, so that none takes long."""


def schedules(share: float) -> pytest.MarkDecorator:
    """Give a test this share of all schedules, as `seeds`."""
    count = max(1, round(SCHEDULES * share))
    parts = [range(first, min(first + _AT_ONCE, count)) for first in range(0, count, _AT_ONCE)]
    if SEED is not None:
        parts = [range(int(SEED), int(SEED) + 1)]
    return pytest.mark.parametrize("seeds", parts, ids=lambda seeds: f"{seeds.start}..{seeds.stop - 1}")
