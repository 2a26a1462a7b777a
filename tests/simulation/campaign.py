"""How many schedules, of which seeds: `RUNCAST_SCHEDULES` in all, or just the one of `RUNCAST_SEED`."""

from __future__ import annotations

import os

import pytest

SCHEDULES = int(os.environ.get("RUNCAST_SCHEDULES", "1000"))
SEED = os.environ.get("RUNCAST_SEED")


def schedules(share: float, *, at_once: int = 200) -> pytest.MarkDecorator:
    """Give a test this share of all schedules, as `seeds`, so many at once that it takes not long."""
    count = max(1, round(SCHEDULES * share))
    parts = [range(first, min(first + at_once, count)) for first in range(0, count, at_once)]
    if SEED is not None:
        parts = [range(int(SEED), int(SEED) + 1)]
    return pytest.mark.parametrize("seeds", parts, ids=lambda seeds: f"{seeds.start}..{seeds.stop - 1}")
