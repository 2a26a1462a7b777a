"""Windows stay small, and tell nothing that is not so."""

import asyncio

import pytest

from app.events import TextDelta
from app.runlog.window import Window
from app.runlog.windows import Windows

pytestmark = pytest.mark.anyio


def words(count: int) -> list[TextDelta]:
    return [TextDelta("x")] * count


class TestOneWindow:
    def test_it_lets_go_of_the_oldest_appends_beyond_its_entries(self) -> None:
        window = Window(max_entries=10)
        for first in range(1, 31, 3):
            window.extend(first, words(3), size=30, closed=False)

        assert (window.tail, window.size) == (30, 90)
        assert not window.covers(20)
        assert [entry.seq for entry in window.page(21, 100).entries] == list(range(22, 31))

    def test_it_lets_go_of_the_oldest_appends_beyond_its_bytes(self) -> None:
        window = Window(max_bytes=100)
        for seq in range(1, 8):
            window.extend(seq, words(1), size=40, closed=False)

        assert window.size == 80
        assert [window.covers(after) for after in (4, 5, 7, 8)] == [False, True, True, False]

    def test_an_append_that_is_larger_than_the_window_is_kept_until_the_next(self) -> None:
        window = Window(max_entries=10, max_bytes=100)
        window.extend(1, words(50), size=5000, closed=False)
        assert window.covers(0)

        window.extend(51, words(1), size=10, closed=False)
        assert (window.size, window.covers(49), window.covers(50)) == (10, False, True)

    def test_it_may_be_opened_in_the_middle_of_a_log(self) -> None:
        window = Window()
        window.extend(7, words(2), size=2, closed=False)

        assert [window.covers(after) for after in (5, 6, 8, 9)] == [False, True, True, False]
        assert [entry.seq for entry in window.page(6, 9).entries] == [7, 8]

    def test_a_hole_in_what_it_is_told_is_not_papered_over(self) -> None:
        window = Window()
        window.extend(1, words(2), size=2, closed=False)
        window.extend(5, words(2), size=2, closed=False)

        assert [window.covers(after) for after in (0, 2, 4, 6)] == [False, False, True, True]
        assert [entry.seq for entry in window.page(4, 9).entries] == [5, 6]

    def test_it_answers_for_nothing_before_it_knows_the_tail(self) -> None:
        window = Window()
        assert not window.covers(0)

        window.learn(4, closed=False)
        assert [window.covers(after) for after in (0, 3, 4)] == [False, False, True]

    def test_storage_read_earlier_takes_back_nothing(self) -> None:
        window = Window()
        window.extend(5, words(1), size=1, closed=True)
        window.learn(4, closed=False)

        assert (window.tail, window.closed) == (5, True)

    def test_appends_that_storage_told_of_first_make_no_hole(self) -> None:
        window = Window()
        window.learn(6, closed=False)
        for seq in (5, 6, 7):
            window.extend(seq, words(1), size=1, closed=False)

        assert (window.tail, window.size) == (7, 2)
        assert [entry.seq for entry in window.page(5, 9).entries] == [6, 7]
        assert not window.covers(4)

    def test_pages_are_shared_until_the_next_append(self) -> None:
        window = Window.unbounded()
        window.extend(1, words(5), size=5, closed=False)
        page = window.page(0, 3)
        assert window.page(0, 3) is page

        window.extend(6, words(1), size=1, closed=True)
        assert window.page(0, 3) is not page
        assert (window.page(0, 3).tail, window.page(0, 3).closed) == (6, True)

    def test_pages_that_are_remembered_are_bounded(self) -> None:
        window = Window.unbounded()
        window.extend(1, words(1000), size=1000, closed=False)
        for after in range(1000):
            window.page(after, 10)

        assert len(window._pages) == 64
        assert window.page(999, 10) is window.page(999, 10)

    async def test_waiters_that_gave_up_leave_nothing_behind(self) -> None:
        window = Window.unbounded()
        waiters = [asyncio.create_task(window.wait(0)) for _ in range(10)]
        await asyncio.sleep(0)
        assert len(window._waiting) == 10

        for waiter in waiters:
            waiter.cancel()
        await asyncio.gather(*waiters, return_exceptions=True)
        assert not window._waiting

    async def test_an_append_wakes_each_waiter_once_however_many_events_it_carries(self) -> None:
        window = Window.unbounded()
        waiter = window.wait(0)
        future = waiter.send(None)

        window.extend(1, words(500), size=500, closed=False)

        assert future.done()
        with pytest.raises(StopIteration) as ended:
            waiter.send(None)
        assert ended.value.value is True


class TestManyWindows:
    def test_those_that_were_not_used_for_longest_go_first(self) -> None:
        windows = Windows(most=3)
        for run_id in "abc":
            windows.publish(run_id, 1, words(1), size=1, closed=False)
        windows.get("a")
        windows.publish("d", 1, words(1), size=1, closed=False)

        assert [run_id for run_id in "abcd" if windows.get(run_id)] == ["a", "c", "d"]

    def test_a_window_that_is_held_stays_but_not_its_entries(self) -> None:
        windows = Windows(most=3, most_bytes=100)
        held = windows.open("held")
        with held.hold():
            windows.publish("held", 1, words(1), size=60, closed=False)
            for number in range(20):
                windows.publish(f"r{number}", 1, words(1), size=60, closed=False)

            assert windows.get("held") is held
            assert (held.tail, held.size) == (1, 0)
            assert [held.covers(0), held.covers(1)] == [False, True]
            assert windows._size == sum(window.size for window in windows._windows.values()) <= 120

    def test_windows_do_not_pile_up_however_many_runs_there_were(self) -> None:
        windows = Windows(most=10)
        for number in range(1000):
            windows.publish(f"r{number}", 1, words(1), size=1, closed=True)
            windows.open(f"reader of {number}")

        assert len(windows) == 10

    def test_bytes_are_accounted_for_through_drops(self) -> None:
        windows = Windows()
        for run_id in "abc":
            windows.publish(run_id, 1, words(1), size=5, closed=False)
        windows.drop("b")
        windows.drop("nobody")

        assert (windows._size, len(windows)) == (10, 2)
        windows.clear()
        assert (windows._size, len(windows)) == (0, 0)
