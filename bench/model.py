"""What 10^4, 10^6 and 10^8 viewers need: processes, Valkeys, PostgreSQL, bandwidth; and what stands in the way.

    python bench/model.py [--viewers 10000 1000000] [--rate 20] [--set shared.delivery_us=40] [--details]

Planned from the costs that `costs.py` measured (`--costs`), or others. Every number of viewers is planned twice: in
many runs with `--per-run` viewers each, and as one run that all of them follow.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from attrs import NOTHING, evolve, fields
from measured import Costs, read_costs
from planning import MICRO, Need, Plan, Room, Workload, cpu_of, plan

HERE = Path(__file__).parent
T = TypeVar("T")
VIEWERS = (1e4, 1e6, 1e8)


def short(number: float) -> str:
    """With two digits that count, as people say it: 240, 1.3 k, 2.6 M."""
    for unit in ("", " k", " M", " G", " T"):
        if number < 999.5 or unit == " T":  # noqa: PLR2004 - the next unit says it shorter
            digits = 1 if 0 < number < 9.95 and number != round(number) else 0  # noqa: PLR2004
            return f"{number:.{digits}f}{unit}"
        number /= 1000
    raise AssertionError


def carried(costs: Costs, workload: Workload, room: Room) -> list[list[str]]:
    """What one process carries, and one Valkey."""
    sides, valkey = (costs.embedded, costs.shared), costs.valkey
    many = evolve(workload, viewers=1), evolve(workload, viewers=1, per_run=1000)

    def row(name: str, each_us: Sequence[float], valkey_us: float = 0) -> list[str]:
        takes = [*each_us, valkey_us]
        return [name, *(short(room.busy / MICRO / us) if us else "" for us in takes)]

    def viewers(each: Workload) -> list[str]:
        name = f"viewers, {short(each.per_run)} of each of its runs"
        return row(name, [cpu_of(side, each) / MICRO for side in sides])

    return [
        row("events a second", [side.event_us for side in sides], valkey.event_us),
        row("messages a second to viewers", [side.delivery_us for side in sides]),
        row("events a second of others' runs", [0, costs.shared.follow_event_us], valkey.follow_event_us),
        *map(viewers, many),
        row("viewers that come, a second", [side.attach_us for side in sides]),
        row("runs that begin and end, a second", [side.run_us for side in sides], valkey.run_us),
    ]


def summary(plans: Sequence[Plan]) -> list[list[str]]:
    """A line for each thing that is needed, a column for each plan."""

    def bits(mbit: float) -> str:
        return f"{short(mbit * 1e6)}bit/s"

    def why(needs: Sequence[Need]) -> str:
        return max((need for need in needs if need.divisible), key=lambda need: need.units).name

    lines = {
        "viewers": [short(each.workload.viewers) for each in plans],
        "runs in progress": [short(each.workload.runs) for each in plans],
        "processes": [short(each.processes) for each in plans],
        "decided by": [why(each.process_needs) for each in plans],
        "that follow a run of another": [short(each.followers) for each in plans],
        "Valkeys": [short(each.shards) for each in plans],
        "decided by ": [why(each.valkey_needs) for each in plans],
        "PostgreSQL writes": [f"{short(each.rows_writes)}/s" for each in plans],
        "to all viewers": [bits(each.out_mbit) for each in plans],
        "from each process": [bits(each.out_mbit / each.processes) for each in plans],
        "memory of all viewers": [f"{short(each.memory_kib * 1024)}B" for each in plans],
        "bottleneck": [each.bottleneck.name for each in plans],
        "in the way": ["; ".join(f"{need.name}: {short(need.units)}" for need in each.obstacles) for each in plans],
    }
    return [[name.strip(), *cells] for name, cells in lines.items()]


def every_need(plans: Sequence[Plan]) -> list[list[str]]:
    """How many of each resource are needed, to two digits."""
    names = [need.name for need in plans[0].needs]
    return [[name, *(f"{each.needs[place].units:.2g}" for each in plans)] for place, name in enumerate(names)]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(re.sub(" +", " ", f"| {' | '.join(cells)} |") for cells in lines)


def report(costs: Costs, workload: Workload, room: Room, viewers: Sequence[float], *, details: bool) -> None:
    said = ", ".join(f"{name} {value}" for name, value in costs.measured.items())
    print(f"Costs: {said}.\n")
    print(f"Each run says {workload.rate:g} events a second. With {room.busy:.0%} of a core one carries:\n")
    print(table(["", "a process, embedded", "a process, of several", "a Valkey"], carried(costs, workload, room)))
    shapes = [evolve(workload, viewers=n, per_run=per_run) for n in viewers for per_run in (workload.per_run, n)]
    plans = [plan(costs, shape, room) for shape in shapes]
    head = ["", *(f"{short(each.viewers)}, {short(each.per_run)} a run" for each in shapes)]
    print(f"\n{table(head, summary(plans))}")
    if details:
        print(f"\nHow many of each:\n\n{table(head, every_need(plans))}")


def change(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    return name, float(value)


def options_for(parser: argparse.ArgumentParser, cls: type[Any]) -> None:
    """An option for each assumption."""
    for each in fields(cls):
        if each.default is not NOTHING:
            parser.add_argument(f"--{each.name.replace('_', '-')}", type=float, default=each.default, metavar="N")


def given_to(cls: type[T], options: argparse.Namespace, **more: float) -> T:
    names = {each.name for each in fields(cls)} & set(vars(options)) - set(more)
    return cls(**{name: getattr(options, name) for name in names}, **more)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--costs", type=Path, default=HERE / "costs.json", metavar="FILE")
    parser.add_argument("--set", type=change, action="append", default=[], metavar="COST=N", dest="changes")
    parser.add_argument("--viewers", type=float, nargs="+", default=VIEWERS, metavar="N")
    parser.add_argument("--details", action="store_true", help="how many of each resource are needed")
    options_for(parser.add_argument_group("assumptions of the viewers"), Workload)
    options_for(parser.add_argument_group("assumptions of what there is"), Room)
    options = parser.parse_args()
    try:
        found = read_costs(options.costs, dict(options.changes))
        report(
            found,
            given_to(Workload, options, viewers=1.0),
            given_to(Room, options),
            options.viewers,
            details=options.details,
        )
    except ValueError as error:
        parser.error(str(error))
