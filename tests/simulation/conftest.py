"""What every simulation needs."""

import gc
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.simulation.schedule import Scenario, play
from tests.simulation.storage import SqliteDisks, make_template

PlayAll = Callable[[range, Scenario], None]


@pytest.fixture
def play_all(record_property: Callable[[str, object], None]) -> PlayAll:
    """Plays a scenario under each of some seeds; how many there were is told at the end of the test run."""

    def play_them(seeds: range, scenario: Scenario) -> None:
        steps = 0
        for seed in seeds:
            steps += play(seed, scenario).loop.steps
        gc.collect()  # what a schedule left to be warned of belongs to this test
        record_property("schedules", len(seeds))
        record_property("steps", steps)

    return play_them


@pytest.fixture(scope="session")
def real_disks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], SqliteDisks]]:
    """Makes new disks for each schedule, always in the same folder; in memory where the system has such a place."""
    memory = Path("/dev/shm")  # none of it outlives the tests
    parent = memory if memory.is_dir() else tmp_path_factory.mktemp("disks")
    with tempfile.TemporaryDirectory(dir=parent, prefix="runcast-simulation-") as folder:
        engine = make_template(Path(folder))
        yield lambda: SqliteDisks(Path(folder), engine)
