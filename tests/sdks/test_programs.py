"""The programs of openapi/sdk/examples, each over a generated client, against a server that runs."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.callers import ADA
from tests.documents.pages import Block
from tests.gateway import Gateway
from tests.sdks import page
from tests.sdks.performing import PROGRAMS, PROMPT, Line, Outcome, perform_all

CUTS = (2_500, 60)
"""Bytes: the first stream ends somewhere in the middle, the second one before its first message is complete."""


@pytest.fixture(scope="module", name="outcomes")
def _outcomes(sdk: Path, guarded: Gateway) -> dict[str, Outcome]:
    return perform_all(sdk, guarded, CUTS)


@pytest.fixture(name="outcome", params=PROGRAMS)
def _outcome(request: pytest.FixtureRequest, outcomes: dict[str, Outcome]) -> Outcome:
    return outcomes[request.param]


def joined(lines: list[Line]) -> list[Line]:
    """Neighbouring deltas made one, as compaction may have done to any of them (P3.5)."""
    out: list[Line] = []
    for where, kind, text in lines:
        before = out.pop()[2] if out and kind.endswith("_delta") and out[-1][1] == kind else ""
        out.append((where, kind, before + text))
    return out


def expected(log: list[str]) -> list[Line]:
    """What a program should have written, as far as it is the messages' own text."""
    said = map(json.loads, log)
    return joined([(m["id"], m["type"], m.get("delta", m.get("content", ""))) for m in said])


def plain(lines: list[Line]) -> list[Line]:
    """What a program wrote, without what it put in words of its own."""
    own = ("_delta", "stream_end")
    return joined([(where, kind, text if kind.endswith(own) else "") for where, kind, text in lines])


@pytest.mark.slow
@pytest.mark.executes("docs/how-to/generated-sdks.md", "sh")
def test_what_was_followed_is_the_whole_log_though_the_connection_was_reset_twice(outcome: Outcome) -> None:
    assert outcome.status == 0, outcome.complaints
    assert outcome.resets == len(CUTS)
    assert plain(outcome.told("followed")) == expected(outcome.logs["followed"])


def test_each_new_connection_begins_after_the_last_event_that_came(outcome: Outcome) -> None:
    first, second, third = outcome.resumed_after
    written = [where for where, _, _ in outcome.told("followed")]

    assert first in (None, "0")
    assert second in written[3:-3]
    assert third == second  # the second connection brought no whole message


def test_tokens_stay_out_of_urls(outcome: Outcome) -> None:
    assert len(outcome.targets) >= 8  # a session, two runs, three streams, a page of the log, a refusal
    assert [target for target in outcome.targets if ADA.key in target or "ticket" in target] == []


def test_what_was_polled_is_the_whole_log(outcome: Outcome) -> None:
    assert plain(outcome.told("polled")) == expected(outcome.logs["polled"])


def test_events_are_read_by_their_own_fields(outcome: Outcome) -> None:
    kinds = {kind: text for _, kind, text in outcome.told("followed")}

    assert kinds["stream_start"] == PROMPT
    assert re.fullmatch(r"\w+ (gave|failed:) .+", kinds["tool_call"])
    assert {"thinking_end", "tool_started", "turn_thinking", "custom", "stream_end"} <= set(kinds)


@pytest.mark.parametrize("how", ["followed", "polled"])
def test_all_programs_tell_the_same(outcomes: dict[str, Outcome], how: str) -> None:
    told = [
        [(where, kind, text.replace(" ", "")) for where, kind, text in joined(outcome.told(how))]  # JSON has its styles
        for outcome in outcomes.values()
    ]

    assert told[0] == told[1] == told[2]


def test_a_refusal_is_a_problem_with_a_code(outcome: Outcome) -> None:
    assert outcome.lines[-1] == "refused 404 run_not_found"
    assert outcome.complaints == ""


def test_the_page_shows_what_they_write(outcomes: dict[str, Outcome]) -> None:
    (shown,) = page.blocks("text")
    written = [line.replace(PROMPT, page.PROMPT) for line in outcomes["hey_api.ts"].lines]

    for line in shown.splitlines():
        if "_delta " not in line and line != "…":
            pattern = re.escape(line).replace("…", r"\w+")
            assert any(re.fullmatch(pattern, real) for real in written), line


@pytest.fixture(scope="module", name="of_newer")
def _of_newer(sdk: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Outcome]]:
    settings = {"auth": "keys", "api_keys": ADA.entry}
    gateway = Gateway(tmp_path_factory.mktemp("newer"), command=("-m", "sdks.newer"), **settings)
    try:
        yield perform_all(sdk, gateway.start())
    finally:
        gateway.close()


@pytest.mark.newer_server
@pytest.mark.parametrize("name", PROGRAMS)
def test_types_that_are_newer_than_the_client_are_ignored(of_newer: dict[str, Outcome], name: str) -> None:
    """P2.3."""
    outcome = of_newer[name]
    known = [text for text in outcome.logs["followed"] if json.loads(text)["type"] != "mood"]

    assert len(known) < len(outcome.logs["followed"])
    assert plain(outcome.told("followed")) == expected(known)


@pytest.mark.newer_server
@pytest.mark.parametrize("name", PROGRAMS)
def test_only_the_python_client_refuses_a_page_that_holds_one(of_newer: dict[str, Outcome], name: str) -> None:
    """It parses whole pages, and knows no member of a union that it was not generated with."""
    outcome = of_newer[name]

    if name.endswith(".py"):
        assert outcome.status == 1
        assert outcome.complaints.endswith("ValueError: type must match const 'gap', got 'mood'\n")
    else:
        known = [text for text in outcome.logs["polled"] if json.loads(text)["type"] != "mood"]
        assert plain(outcome.told("polled")) == expected(known)


@pytest.mark.executes("docs/how-to/generated-sdks.md", "text")
def test_what_is_shown_of_the_output_is_written(outcome: Outcome, blocks: list[Block]) -> None:
    shown = [line for line in blocks[0].text.splitlines() if line != "…"]
    kinds = {f"{line.split(' ')[1]}" for line in outcome.lines if line[0].isdigit()}

    assert [line for line in shown if line[0].isdigit() and line.split(" ")[1] not in kinds] == []
    assert [line.split(" ")[0] for line in shown if not line[0].isdigit()] == ["followed", "polled", "refused"]
    assert shown[-1] == outcome.lines[-1]
