"""How many events are taken in at a time: few enough to be soon done with, and no fewer."""

import random

from hypothesis import given
from hypothesis import strategies as st

from ksmtrace.sources.live.portion import LEAST_PORTION, Portion
from ksmtrace.sources.live.ring import MOST_RECORDS

LONG = 0.4


@given(st.lists(st.tuples(st.floats(1e-6, 1e-2), st.integers(1, 400)), min_size=1, max_size=4))
def test_a_portion_is_what_is_soon_done_with(phases):
    """However long one event takes, and whenever that changes: soon no more is taken in at a time
    than can be done with in a fraction of a second, and no less than a fraction of that."""
    portion = Portion()
    for seconds, _ in phases:
        for _ in range(20):
            portion.took(portion.most, seconds * portion.most)
        taken = seconds * portion.most
        assert taken <= 0.4 or portion.most <= LEAST_PORTION
        assert taken > 0.02 or portion.most == MOST_RECORDS


def sizes(portion, itself, event, rounds=100, spoilt=0.0, seed=0):
    """What is taken in at a time, where a portion costs so many seconds by itself, and as many for
    each event; a few take ten times as long for other reasons."""
    chance, found = random.Random(seed), []
    for _ in range(rounds):
        found.append(portion.most)
        seconds = itself + event * portion.most
        portion.took(portion.most, seconds * (10 if chance.random() < spoilt else 1))
    return found


@given(st.floats(0.1, 5), st.floats(1e-6, 1e-3), st.integers(0, 1000))
def test_a_portion_that_costs_much_by_itself_is_larger(itself, event, seed):
    """Most of the time is for events, and no portion takes longer than that needs.

    One in twenty takes ten times as long.
    """
    portion = Portion()
    sizes(portion, itself, event, spoilt=0.05, seed=seed)
    taken = sizes(portion, itself, event)
    share = event * sum(taken) / sum(itself + event * most for most in taken)
    assert share > 0.75 or max(taken) == MOST_RECORDS
    assert itself + event * max(taken) < max(LONG, 8 * itself) or max(taken) == LEAST_PORTION


@given(st.floats(0.4, 5), st.floats(1e-6, 1e-4), st.floats(1e-3, 1e-2))
def test_it_is_small_again_once_each_event_takes_long(itself, event, then):
    portion = Portion()
    sizes(portion, itself, event)
    assert max(sizes(portion, 0.0, then)[-10:]) <= LEAST_PORTION


@given(st.floats(4e-4, 1e-2))
def test_nothing_is_tried_that_takes_longer_than_the_least(event):
    """Where all of the time is for events, more of them are never taken in to see that."""
    portion = Portion()
    assert max(sizes(portion, 0.0, event)) == LEAST_PORTION
