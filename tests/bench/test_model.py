"""What so many viewers need: sums that must hold whatever was measured."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import planning
import pytest
from attrs import asdict, evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from measured import Costs, PostgresCosts, ProcessCosts, ValkeyCosts, read_costs
from planning import ONE_PROCESS, Room, Workload, followers_of, plan

from tests.documents.pages import ROOT, Block, text_of

PAGE = "bench/README.md"
FILE = ROOT / "bench" / "costs.json"

cost = st.floats(0.5, 10_000)
process_costs = st.builds(ProcessCosts, **dict.fromkeys(ProcessCosts.__annotations__, cost))
process_costs = process_costs.map(lambda each: evolve(each, idle_us=each.idle_us / 2, follow_us=each.follow_us / 10))
costs_of_all = st.builds(
    Costs,
    measured=st.just({}),
    embedded=process_costs,
    shared=process_costs,
    valkey=st.builds(ValkeyCosts, **dict.fromkeys(ValkeyCosts.__annotations__, cost)),
    postgresql=st.builds(PostgresCosts, **dict.fromkeys(PostgresCosts.__annotations__, cost)),
)
workloads = st.builds(
    Workload,
    viewers=st.floats(10, 1e8),
    per_run=st.floats(1, 10_000),
    rate=st.floats(0.1, 20),
    near=st.floats(0, 1),
)


@given(costs_of_all, workloads, st.floats(1, 100))
@settings(max_examples=100, deadline=None)
def test_more_viewers_need_no_less_of_anything(costs: Costs, workload: Workload, times: float) -> None:
    fewer = plan(costs, workload, Room())
    more = plan(costs, evolve(workload, viewers=workload.viewers * times), Room())

    assert more.processes >= fewer.processes
    assert more.shards >= fewer.shards
    for one, other in zip(fewer.needs, more.needs, strict=True):
        assert other.units >= one.units * (1 - 1e-9)


@given(costs_of_all, workloads)
@settings(max_examples=100, deadline=None)
def test_where_everything_costs_twice_as_much_twice_as_much_cpu_is_needed(costs: Costs, workload: Workload) -> None:
    workload = evolve(
        workload, near=1, per_run=min(workload.per_run, ONE_PROCESS)
    )  # else more processes would follow each other's runs
    free = evolve(costs, shared=evolve(costs.shared, idle_us=0))
    twice = evolve(free, shared=ProcessCosts(**{name: 2 * value for name, value in asdict(free.shared).items()}))
    once, double = plan(free, workload, Room()).needs[0], plan(twice, workload, Room()).needs[0]

    assert once.name == double.name == "CPU of the processes"
    assert double.units == pytest.approx(2 * once.units)


@given(costs_of_all, workloads)
@settings(max_examples=100, deadline=None)
def test_the_bottleneck_is_the_worst_of_what_there_is_once_or_else_what_most_is_needed_of(
    costs: Costs, workload: Workload
) -> None:
    found = plan(costs, workload, Room())
    over = [need.units for need in found.needs if not need.divisible and need.units > 1]
    several = [need.units for need in found.needs if need.divisible]

    assert found.bottleneck.units == max(over or several)
    assert all(need.units <= found.processes for need in found.process_needs)


@given(costs_of_all, workloads)
@settings(max_examples=100, deadline=None)
def test_one_process_less_would_not_do(costs: Costs, workload: Workload) -> None:
    fewer = plan(costs, workload, Room()).processes - 1
    needs = planning._process_needs(costs, workload, Room(), max(1, fewer))

    assert fewer == 0 or max(need.units for need in needs) > fewer


def test_costs_that_no_number_of_processes_can_bear_are_told() -> None:
    dear = read_costs(FILE, {"shared.idle_us": 700_000})
    with pytest.raises(ValueError, match="no number of processes"):
        plan(dear, Workload(viewers=1e6), Room())


def test_a_run_that_all_view_is_followed_once_by_each_process_and_a_small_one_by_few() -> None:
    assert followers_of(Workload(viewers=1e6, per_run=1e6), 100) == pytest.approx(99)
    assert followers_of(Workload(viewers=1e6, per_run=10), 1_000_000) == pytest.approx(10, rel=1e-4)
    assert followers_of(Workload(viewers=1e6, per_run=10, near=1), 100) == 0
    assert followers_of(Workload(viewers=1e6, per_run=1e6, near=1), 100) == pytest.approx(99)
    assert followers_of(Workload(viewers=1e6, per_run=10), 1) == 0


def test_a_run_that_is_too_much_for_one_valkey_stands_in_the_way_however_many_there_are() -> None:
    huge = plan(read_costs(FILE), Workload(viewers=1e9, per_run=1e9), Room(rows_clients=1e9, valkey_clients=1e9))

    assert huge.shards == 1
    assert "CPU of one run's Valkey" in [need.name for need in huge.obstacles]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nothing", "holds no costs"),
        ("[]", "holds no costs"),
        ("{}", "holds no costs"),
        ('{"measured": {}, "embedded": {"idle_us": "much"}}', "holds no costs"),
    ],
)
def test_a_file_that_holds_no_costs_is_refused_by_name(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "costs.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=says) as caught:
        read_costs(file)
    assert str(file) in str(caught.value)


def test_a_cost_can_be_changed_but_not_made_up(tmp_path: Path) -> None:
    assert read_costs(FILE, {"shared.delivery_us": 7}).shared.delivery_us == 7
    for name in ("shared.nothing", "nothing", "measured.at"):
        with pytest.raises(ValueError, match="is no cost"):
            read_costs(FILE, {name: 1})
    negative = json.loads(FILE.read_text())
    negative["valkey"]["event_us"] = -1
    (tmp_path / "costs.json").write_text(json.dumps(negative))
    with pytest.raises(ValueError, match=r"valkey\.event_us must be 0 or more"):
        read_costs(tmp_path / "costs.json")


@pytest.mark.executes(PAGE, "sh", "text", section="modelpy-what-so-many-viewers-need")
def test_the_model_prints_what_the_page_says(blocks: list[Block]) -> None:
    command, output = (block.text for block in blocks)
    python, *words = shlex.split(command)
    assert python == "python"
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)

    assert done.stderr == ""
    assert done.stdout == output
    carried = [line for line in output.split("\n\n")[2].splitlines() if not line.startswith(("| |", "| -"))]
    assert len(carried) == 7
    assert [line for line in carried if line not in text_of(PAGE).partition("### What one process carries")[2]] == []
