"""The same plays over SqliteLog and SqlSessionStore on files; only their threads are missing."""

import pytest

from tests.simulation.campaign import schedules
from tests.simulation.test_deleting import deleting
from tests.simulation.test_ending import cancelling
from tests.simulation.test_failing_disks import failing
from tests.simulation.test_following import following
from tests.simulation.test_restarting import draining, killing
from tests.simulation.test_starting import racing

SHARE = 0.004


@pytest.mark.parametrize("scenario", [following, cancelling, racing, deleting, draining])
@schedules(SHARE, at_once=20)
def test_the_real_stores_keep_every_promise_as_well(seeds, scenario, play_all, real_disks):
    play_all(seeds, lambda schedule: scenario(schedule, real_disks))


@pytest.mark.filterwarnings("ignore:The garbage collector is trying to clean up")  # of those who were killed
@pytest.mark.parametrize("scenario", [killing, failing])
@schedules(SHARE, at_once=20)
def test_what_the_real_stores_kept_survives_a_kill(seeds, scenario, play_all, real_disks):
    play_all(seeds, lambda schedule: scenario(schedule, real_disks))
