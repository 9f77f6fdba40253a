"""Pictures of passes that are over: the last ones in any number of them, and never too many."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksmtrace.plugins.tui.history import History


def _after(passes, most):
    history = History(most)
    for number in range(1, passes + 1):
        if history.wants():
            history.add(number, f"picture {number}")
    return history


def test_while_there_are_few_every_pass_is_kept():
    history = _after(7, 8)
    assert list(history.passes) == [1, 2, 3, 4, 5, 6, 7]
    assert history.at(3) == "picture 3"
    assert history.at(99) == "picture 7"
    assert history.at(0) is None


def test_of_more_every_second_one_is_kept_then_every_fourth():
    assert list(_after(8, 8).passes) == [1, 3, 5, 7]
    assert list(_after(15, 8).passes) == [1, 5, 9, 13]


@given(st.integers(0, 500), st.sampled_from([4, 8, 32]), st.integers(0, 600))
def test_the_picture_is_of_that_pass_or_the_last_one_kept_before_it(passes, most, number):
    history = _after(passes, most)
    kept = list(history.passes)
    assert len(kept) < most
    assert kept == sorted(set(kept))
    assert not passes or kept[0] == 1
    before = [one for one in kept if one <= number]
    assert history.at(number) == (f"picture {before[-1]}" if before else None)


@pytest.mark.parametrize("passes", [100, 1000])
def test_what_is_kept_is_spread_evenly(passes):
    kept = list(_after(passes, 16).passes)
    steps = {later - earlier for earlier, later in pairwise(kept)}
    assert len(steps) == 1
    assert passes - kept[-1] < steps.pop()
