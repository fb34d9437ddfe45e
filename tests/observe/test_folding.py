"""The same trouble again and again: the first ones are shown, the rest is counted, nothing is forgotten."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from signerd.observe import events
from signerd.observe.folding import Folding


def garbage(source: str, size: int = 0) -> events.Garbage:
    return events.Garbage(source=source, size=size)


def test_shows_the_first_ones_and_counts_the_rest():
    folding = Folding(shown=3, seconds=60)

    shown = [folding.shows("node", garbage("node", n), 100.0 + n) for n in range(10)]

    assert shown == [True] * 3 + [False] * 7
    assert list(folding.ended(159.9)) == []
    (folded,) = folding.ended(160.0)
    assert (folded.event, folded.count, folded.seconds) == (garbage("node", 9), 7, 60.0)
    assert list(folding.ended(999.0)) == []


def test_after_a_window_the_first_ones_are_shown_again():
    folding = Folding(shown=1, seconds=60)
    folding.shows("x", garbage("x"), 0.0)
    folding.shows("x", garbage("x"), 1.0)
    list(folding.ended(60.0))

    assert folding.shows("x", garbage("x"), 60.0)


def test_says_nothing_where_nothing_was_left_out():
    folding = Folding(shown=2, seconds=60)
    folding.shows("x", garbage("x"), 0.0)
    folding.shows("x", garbage("x"), 1.0)

    assert list(folding.ended(60.0)) == []


def test_different_trouble_does_not_hide_each_other():
    folding = Folding(shown=1, seconds=60)

    assert [folding.shows(same, garbage(same), 0.0) for same in "aabb"] == [True, False, True, False]


def test_is_bounded_and_sums_up_the_oldest_when_there_are_too_many():
    folding = Folding(shown=1, seconds=60, most=3)
    told = []
    for number in range(100):
        for _ in range(2):
            told += folding.ended(1.0)
            folding.shows(number, garbage(str(number)), 1.0)

    assert [folded.event.source for folded in told] == [str(n) for n in range(98)]
    assert len(folding._windows) <= 3


@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.floats(0, 50))),
    st.integers(1, 4),
    st.integers(2, 5),
)
def test_every_event_is_shown_or_counted_once_and_the_first_is_always_shown(heard, shown, most):
    folding = Folding(shown=shown, seconds=60, most=most)
    now = 0.0
    lines, left_out, seen = Counter(), Counter(), set()
    for same, pause in heard:
        now += pause
        for folded in folding.ended(now):
            left_out[folded.event.source] += folded.count
        is_shown = folding.shows(same, garbage(same), now)
        assert is_shown or same in seen
        seen.add(same)
        lines[same] += is_shown
    for folded in folding.rest(now):
        left_out[folded.event.source] += folded.count

    assert lines + left_out == Counter(same for same, _ in heard)
    assert list(folding.rest(now)) == []
