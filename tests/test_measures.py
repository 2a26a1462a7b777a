"""The plain numbers behind `/metrics`."""

from app.measures import Histogram, Measures, ViewerCount


def test_a_value_falls_into_the_first_range_that_holds_it() -> None:
    histogram = Histogram((1, 2.5, 10))
    for value in (0, 1, 1.1, 2.5, 10, 10.1, 1000):
        histogram.observe(value)

    assert histogram.counts == [2, 2, 1, 2]
    assert histogram.sum == sum((0, 1, 1.1, 2.5, 10, 10.1, 1000))


def test_what_a_viewer_was_sent_stays_counted_when_it_has_gone() -> None:
    measures = Measures()
    viewer = ViewerCount("sse", "native")
    measures.attach(viewer, resumed=True)
    viewer.sent += 3
    measures.detach(viewer)

    assert measures.viewers == set()
    assert measures.sent["sse", "native"] == 3
    assert (measures.viewed["sse", "native"], measures.resumes["sse"]) == (1, 1)


def test_codes_that_agents_make_up_count_as_one() -> None:
    measures = Measures()
    for status, code in [("completed", ""), ("failed", "agent_error"), ("failed", "mine"), ("failed", "mine too")]:
        measures.end(status, code)

    assert {key: count for key, count in measures.ended.items() if count} == {
        ("completed", ""): 1,
        ("failed", "agent_error"): 1,
        ("failed", "other"): 2,
    }


def test_kinds_that_are_expected_are_nought_and_not_absent() -> None:
    measures = Measures()
    measures.expect("sse", "native", ["too_slow"])

    assert dict(measures.viewed) == {("sse", "native"): 0}
    assert dict(measures.resumes) == {"sse": 0}
    assert dict(measures.cuts) == {("sse", "too_slow"): 0}
