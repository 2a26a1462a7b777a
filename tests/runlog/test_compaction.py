"""Compaction merges adjacent deltas and nothing else (P3.5)."""

from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from app.events import Delta, Event, TextDelta, TextEnd, ThinkingDelta
from app.runlog.base import Entry
from app.runlog.compaction import MAX_DELTA, compact

deltas = st.one_of(st.from_type(TextDelta), st.from_type(ThinkingDelta))
gaps = st.sampled_from([1, 1, 1, 1, 2])


@st.composite
def logs(draw) -> list[Entry]:
    entries: list[Entry] = []
    for event in draw(st.lists(st.one_of(deltas, deltas, deltas, st.from_type(Event)), max_size=30)):
        last = entries[-1].seq if entries else 0
        entries.append(Entry(last + draw(gaps), event))
    return entries


def spoken(entries):
    """What each voice said in each of its uninterrupted turns."""
    said = ((type(e.event), getattr(e.event, "part", None), getattr(e.event, "agent", None), e.event) for e in entries)
    turns = groupby(said, key=lambda one: one[:3] if isinstance(one[3], Delta) else id(one[3]))
    return [(key, "".join(one[3].delta for one in turn)) for key, turn in turns if isinstance(key, tuple)]


@given(logs())
def test_text_is_preserved_and_nothing_else_is_touched(entries) -> None:
    compacted = compact(entries)

    assert spoken(compacted) == spoken(entries)
    assert [e for e in compacted if not isinstance(e.event, Delta)] == [
        e for e in entries if not isinstance(e.event, Delta)
    ]


@given(logs())
def test_seqs_rise_and_are_those_of_entries(entries) -> None:
    seqs = [entry.seq for entry in compact(entries)]

    assert seqs == sorted(set(seqs))
    assert set(seqs) <= {entry.seq for entry in entries}
    assert seqs[-1:] == [entry.seq for entry in entries][-1:]


@given(logs(), st.integers(0, 40))
def test_resuming_from_any_seq_that_was_handed_out_is_exact(entries, at) -> None:
    compacted = compact(entries)
    cut = compacted[at].seq if at < len(compacted) else 0
    head, tail = [e for e in compacted if e.seq <= cut], [e for e in entries if e.seq > cut]

    assert spoken(compact([*head, *tail])) == spoken(entries)


def test_a_merged_delta_stands_where_its_last_part_stood() -> None:
    entries = [Entry(4, TextDelta("a", part="t")), Entry(5, TextDelta("b", part="t")), Entry(6, TextEnd(part="t"))]

    assert compact(entries) == [Entry(5, TextDelta("ab", part="t")), Entry(6, TextEnd(part="t"))]


def test_deltas_of_another_class_part_or_agent_or_after_a_hole_stay_apart() -> None:
    entries = [
        Entry(1, TextDelta("a", part="t")),
        Entry(2, ThinkingDelta("a", part="t")),
        Entry(3, ThinkingDelta("a", part="u")),
        Entry(4, ThinkingDelta("a", part="u", agent="sub")),
        Entry(6, ThinkingDelta("a", part="u", agent="sub")),
    ]

    assert compact(entries) == entries


def test_a_merged_delta_is_bounded_and_a_longer_one_is_left_alone() -> None:
    third = "x" * (MAX_DELTA // 3)
    long = TextDelta("y" * (MAX_DELTA + 1))
    entries = [*(Entry(seq, TextDelta(third)) for seq in range(1, 6)), Entry(6, long)]

    compacted = compact(entries)

    assert [entry.seq for entry in compacted] == [3, 5, 6]
    assert compacted[-1].event is long
