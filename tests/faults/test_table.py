"""The faults that the embedded server is to withstand, by their number in the failure model, and the test of each.

Several processes are put through more of them at random. What happens to a Redis or Valkey (3 to 7) is tried on the log
that it keeps, and before the clients of two gateways.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
AGENTS, CLIENTS = "faults/test_agents", "faults/test_clients"
MACHINE, NETWORK, STORAGE = "faults/test_machine", "faults/test_network", "faults/test_storage"
REDIS, SHARED = "runlog/test_redis_faults", "faults/test_shared_servers"
AWAY = f"{SHARED}::test_a_server_that_is_away_for_a_while_costs_time_and_nothing_else"
FOLLOW, LEAVE, SOCKET = "transports/test_follow", "server/test_viewers_that_leave", "transports/test_websocket"

ROWS: dict[int, tuple[str, ...]] = {
    1: ("faults/test_kill::test_what_was_seen_before_a_kill_is_in_the_log_after_it",),
    2: (
        "faults/test_drain::test_viewers_are_told_at_once_and_resume_after_the_restart",
        f"{CLIENTS}::test_many_viewers_are_told_at_once_and_each_resumes_exactly",
    ),
    3: (f"{REDIS}::TestAServerThatIsAway", AWAY),
    4: (f"{REDIS}::TestAServerThatIsAway", AWAY),
    5: (
        f"{REDIS}::TestAServerThatIsFull",
        f"{SHARED}::test_a_server_without_room_holds_runs_up_and_nobody_who_reads",
    ),
    6: (
        f"{REDIS}::TestALogThatIsLost",
        f"{SHARED}::test_a_server_that_is_emptied_ends_the_run_before_everybody_and_the_session_goes_on",
    ),
    7: (
        f"{REDIS}::TestALogThatIsLost",
        f"{SHARED}::test_a_replica_that_lags_and_takes_over_leaves_no_silent_hole",
    ),
    8: (f"{NETWORK}::test_viewers_that_vanish_are_let_go_and_resume_when_they_are_back",),
    9: (f"{NETWORK}::test_a_network_that_loses_every_third_packet_only_makes_it_slower",),
    10: (
        f"{STORAGE}::test_a_full_disk_stops_nobody_from_reading_and_the_run_goes_on_when_there_is_room",
        f"{STORAGE}::test_a_file_that_the_disk_has_no_room_for_is_refused_and_takes_no_room",
    ),
    11: (f"{STORAGE}::test_another_process_that_writes_is_waited_for_and_nobody_notices",),
    12: (
        f"{STORAGE}::test_events_that_a_damaged_file_lost_are_a_warning_and_a_gap",
        f"{STORAGE}::test_rows_that_a_damaged_file_lost_are_a_warning_and_the_rest_is_served",
    ),
    13: (f"{STORAGE}::test_a_damaged_page_is_refused_at_the_start_by_the_name_of_its_file",),
    14: (f"{AGENTS}::test_an_agent_that_crashes_at_any_event_leaves_what_it_said_and_one_failure",),
    15: (f"{AGENTS}::test_an_agent_that_does_not_come_to_an_end_is_ended",),
    16: (f"{AGENTS}::test_of_a_million_events_the_first_hundred_thousand_are_kept_and_nobody_else_notices",),
    17: (f"{AGENTS}::test_an_event_of_fifty_megabytes_is_cut_and_says_so",),
    18: (f"{AGENTS}::test_values_that_json_cannot_say_break_nothing",),
    19: (f"{LEAVE}::test_a_viewer_that_takes_nothing_is_cut_and_nobody_else_notices",),
    20: (f"{CLIENTS}::test_a_crowd_that_reconnects_at_once_gets_exactly_the_rest",),
    21: (f"{NETWORK}::test_viewers_that_vanish_are_let_go_and_resume_when_they_are_back",),
    22: (
        "faults/test_proxy::test_through_a_proxy_events_come_as_they_are_said_and_silence_cuts_nobody",
        "faults/test_proxy::test_a_proxy_that_dies_costs_a_viewer_nothing",
    ),
    23: (f"{MACHINE}::test_a_wall_clock_that_jumps_ends_nothing_and_reorders_nothing",),
    24: (
        "faults/test_fleet::test_a_process_that_was_taken_for_dead_says_no_more_word_when_it_wakes",
        "faults/test_siege::test_every_viewer_has_what_the_logs_say_whatever_befalls_the_processes",
    ),
    25: (f"{AGENTS}::test_what_blocks_the_loop_is_in_the_log_and_every_stream_goes_on",),
    26: (f"{AGENTS}::test_of_a_cancel_and_the_end_that_it_meets_one_wins",),
    27: (f"{AGENTS}::test_an_agent_that_swallows_its_cancellation_is_ended_without_its_help",),
    28: (f"{SOCKET}::test_eight_concurrent_retries_over_both_transports_start_one_run",),
    29: (f"{CLIENTS}::test_of_messages_on_one_session_at_once_one_starts_and_the_others_are_refused",),
    30: (f"{FOLLOW}::test_who_attaches_in_mid_run_begins_at_the_runs_first_event",),
    31: ("server/test_scale_out::test_a_rolling_restart_costs_neither_a_message_nor_a_command",),
    32: (f"{MACHINE}::test_without_file_descriptors_newcomers_are_refused_quietly_until_there_are_some",),
    33: (f"{LEAVE}::test_a_viewer_that_leaves_is_let_go_at_once",),
    34: (
        f"{CLIENTS}::test_whoever_talks_garbage_harms_nobody_else",
        "faults/test_garbage::test_garbage_is_refused_and_costs_nobody_an_event",
    ),
    35: (
        f"{FOLLOW}::test_a_position_that_is_not_there_gets_a_gap_first_and_then_everything",
        f"{FOLLOW}::test_a_malformed_position_is_refused_over_http",
        f"{FOLLOW}::test_a_malformed_position_on_a_websocket_gets_an_error_and_close_4400",
    ),
}
TESTS = sorted({test for tests in ROWS.values() for test in tests})


def test_every_row_of_the_failure_model_has_its_test() -> None:
    assert sorted(ROWS) == list(range(1, 36))


@pytest.mark.parametrize("test", TESTS)
def test_the_test_of_a_row_is_there_and_belongs_to_the_suite(test: str) -> None:
    file, _, name = test.partition("::")
    path = ROOT / "tests" / f"{file}.py"
    found = [node for node in ast.parse(path.read_text()).body if getattr(node, "name", "") == name]
    assert len(found) == 1
    marks = [ast.unparse(mark) for mark in getattr(found[0], "decorator_list", [])]
    assert path.parent == Path(__file__).parent or "pytest.mark.faults" in marks
