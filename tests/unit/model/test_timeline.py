"""A timeline keeps its ends, its order and its bound, whatever comes."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ksmtrace.model.timeline import Timeline


@given(st.integers(1, 3000), st.sampled_from((4, 16, 512)))
def test_bounded_ordered_and_both_ends_kept(count, most):
    timeline = Timeline("value", most=most)
    for second in range(count):
        timeline.add(second, 10 * second)
    seconds = timeline.column("seconds")
    assert len(seconds) <= most
    assert seconds == sorted(set(seconds))
    assert (seconds[0], seconds[-1]) == (0, count - 1)
    assert timeline.column("value") == [10 * second for second in seconds]
    gaps = {b - a for a, b in pairwise(seconds[:-1])}
    assert len(gaps) <= 1


def test_nothing_given():
    assert Timeline("value").points() == []
