"""What was measured: the file that costs.py writes and model.py reads."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import cattrs
from attrs import frozen


@frozen
class ProcessCosts:
    """Microseconds of a gateway process's CPU.

    Attributes:
        idle_us: a second.
        open_us: a second of a run in progress that it executes.
        event_us: an event of such a run.
        follow_us: a second of a run in progress that another process executes and viewers of this one follow.
        follow_event_us: an event of such a run, however many these viewers are.
        delivery_us: a message to one viewer.
        run_us: the beginning and the end of a run, and three events.
        attach_us: the arrival of a viewer.
        viewer_kib: memory of an attached viewer, KiB.
    """

    idle_us: float
    open_us: float
    event_us: float
    delivery_us: float
    run_us: float
    attach_us: float
    viewer_kib: float
    follow_us: float = 0
    follow_event_us: float = 0


@frozen
class ValkeyCosts:
    """Microseconds of a Valkey's CPU, by the names of ProcessCosts, and bytes.

    Attributes:
        idle_us: a second, for each process; where they meet.
        event_in_bytes, event_out_bytes: of its network, an event.
        follow_event_out_bytes: the same, for each further process that follows the run.
        event_memory_bytes: of its memory, an event of a run in progress.
    """

    idle_us: float
    open_us: float
    event_us: float
    follow_us: float
    follow_event_us: float
    run_us: float
    event_in_bytes: float
    event_out_bytes: float
    follow_event_out_bytes: float
    event_memory_bytes: float


@frozen
class PostgresCosts:
    """Microseconds of PostgreSQL's CPU; transactions that write, and bytes of its log, of a run."""

    idle_us: float
    run_us: float
    attach_us: float
    run_writes: float
    run_wal_bytes: float


@frozen
class Costs:
    """What was measured, and how."""

    measured: dict[str, Any]
    embedded: ProcessCosts
    shared: ProcessCosts
    valkey: ValkeyCosts
    postgresql: PostgresCosts


def read_costs(file: Path, changes: dict[str, float] | None = None) -> Costs:
    """The costs of a file that costs.py wrote.

    Args:
        file: JSON.
        changes: other figures, by names like `shared.delivery_us`.

    Raises:
        ValueError: the file or a name is none; the message says which.
    """
    try:
        found = json.loads(file.read_text())
        for name, value in (changes or {}).items():
            part, _, figure = name.partition(".")
            if figure not in found.get(part, {}) or part == "measured":
                raise ValueError(f"{name} is no cost")
            found[part][figure] = value
        costs = cattrs.structure(found, Costs)
    except (OSError, json.JSONDecodeError, cattrs.BaseValidationError, AttributeError, TypeError) as error:
        raise ValueError(f"{file} holds no costs: {error}") from error
    for part in ("embedded", "shared", "valkey", "postgresql"):
        for name, value in found[part].items():
            if not 0 <= value < math.inf:
                raise ValueError(f"{part}.{name} must be 0 or more")
    return costs
