"""The follower of merges against a walk over the events, however they are cut."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ksmtrace.model.merge_follower import MergeFollower, ages

ITEMS = 5
an_event = st.tuples(st.integers(0, ITEMS - 1), st.integers(1, 2**63), st.booleans())


def walk(events):
    """(row, item, time, node) of the merge that each event comes upon; None where there is none."""
    merged, found = {}, []
    for row, (item, time, begins) in enumerate(events):
        found.append((row, item, merged.get(item)))
        merged[item] = (time, row) if begins else None
    return found, {item for item, merge in merged.items() if merge}


@given(st.lists(an_event, max_size=30), st.integers(1, 30))
def test_each_event_comes_upon_the_merge_that_the_one_before_it_began(events, length):
    follower, found = MergeFollower(), []
    follower.grow(ITEMS)
    for start in range(0, len(events), length):
        part = events[start : start + length]
        item, time, begins = (
            np.array(column, dtype=kind)
            for column, kind in zip(zip(*part, strict=True), (int, np.uint64, bool), strict=True)
        )
        rows = np.arange(len(part))
        # nodes are named after the row that joins them, to tell them apart
        came = follower.follow(rows[::-1], item[::-1], time[::-1], begins[::-1], start + rows[::-1])
        merges = zip(came.since.tolist(), came.nodes.tolist(), strict=True)
        found += [
            (start + row, item, merge if known else None)
            for row, item, known, merge in zip(
                came.rows.tolist(), came.items.tolist(), came.known.tolist(), merges, strict=True
            )
        ]
        assert (came.items[1:] >= came.items[:-1]).all()
    expected, left = walk(events)
    assert sorted(found) == expected
    assert set(np.flatnonzero(follower.merged).tolist()) == left
    follower.forget()
    assert not follower.merged.any()


def test_an_age_is_never_below_0():
    end, begin = np.array([7, 3, 2**64 - 1], dtype=np.uint64), np.array([3, 7, 0], dtype=np.uint64)
    assert ages(end, begin).tolist() == [4, 0, 2**64 - 1]
