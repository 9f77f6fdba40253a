"""Losses are counted to the unit, wherever the ring was full."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ksmtrace.events import EventKind, Gauge, empty_records
from ksmtrace.sources.live.losses import LossTracker


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from(("kept", "dropped", "counted"))), max_size=300
    ),
    st.lists(st.integers(0, 300), max_size=6),
    st.sets(st.integers(0, 5)),
)
def test_every_loss_is_announced_once(produced, cuts, settled):
    """Whatever is dropped on whichever CPU: the LOST records add up, and the rest arrives in order.

    "counted" is the reading of the count that ksmd's own thread sends: by then, every loss before
    it has been announced.
    """
    tracker = LossTracker()
    numbers = dict.fromkeys(range(4), 0)
    lost = 0
    stream, received = [], []
    bounds = sorted({min(cut, len(produced)) for cut in cuts} | {0, len(produced)})
    for turn, (start, end) in enumerate(pairwise(bounds)):
        kept = []
        for cpu, what in produced[start:end]:
            number = numbers[cpu]
            numbers[cpu] += 1
            if what == "dropped":
                lost += 1
            else:
                kept.append((cpu, number % 65536, lost if what == "counted" else None))
        drained = empty_records(len(kept))
        drained["kind"] = [
            EventKind.BREAK_COW if counted is None else EventKind.SAMPLE for _, _, counted in kept
        ]
        drained["address"] = [0 if counted is None else Gauge.EVENTS_LOST for _, _, counted in kept]
        drained["aux"] = [counted or 0 for _, _, counted in kept]
        drained["cpu"] = [cpu for cpu, _, _ in kept]
        drained["seq"] = [number for _, number, _ in kept]
        received += [(cpu, number) for cpu, number, _ in kept]
        stream.append(tracker.mark(drained))
        if turn in settled:
            stream.append(tracker.settle(lost))
    stream.append(tracker.settle(lost))
    events = np.concatenate(stream)
    announced = events[events["kind"] == EventKind.LOST]
    assert announced["aux"].sum() == lost
    arrived = events[events["kind"] != EventKind.LOST]
    assert list(zip(arrived["cpu"].tolist(), arrived["seq"].tolist(), strict=True)) == received
    so_far = 0
    for event in events:
        if event["kind"] == EventKind.LOST:
            so_far += int(event["aux"])
        elif event["kind"] == EventKind.SAMPLE:
            assert so_far >= event["aux"]


def test_a_gap_is_marked_where_it_is():
    events = empty_records(4)
    events["kind"] = EventKind.BREAK_COW
    events["seq"] = [65533, 65534, 2, 3]
    tracker = LossTracker()
    tracker._next[0] = 65533
    marked = tracker.mark(events)
    assert marked["kind"].tolist() == [4, 4, EventKind.LOST, 4, 4]
    assert marked["aux"][2] == 3


def test_a_number_that_was_overtaken_is_no_loss():
    """Two programs of one CPU, the first interrupted before it sent; then one real loss."""
    events = empty_records(7)
    events["kind"] = EventKind.BREAK_COW
    events["seq"] = [0, 2, 1, 3, 4, 6, 7]
    tracker = LossTracker()
    marked = tracker.mark(events)
    assert marked["kind"].tolist() == [4, 4, 4, 4, 4, EventKind.LOST, 4, 4]
    assert marked["aux"][5] == 1
    assert len(tracker.settle(1)) == 0


@given(
    late=st.sets(st.integers(0, 59), max_size=8),
    gone=st.sets(st.integers(0, 59), max_size=8),
    by=st.integers(1, 5),
    cut=st.integers(0, 60),
    first=st.sampled_from([0, 65536 - 30]),
)
def test_numbers_that_come_late_are_lost_at_most_once(late, gone, by, cut, first):
    """Numbers are sent some places late, some never: what is announced covers what is lost, and a
    batch that holds both a number and those that overtook it announces no loss for it."""
    last = max(set(range(60)) - gone) + 1
    gone = {number for number in gone if number < last}
    order = sorted(set(range(60)) - gone, key=lambda n: n + (by + 0.5 if n in late else 0))
    events = empty_records(len(order))
    events["kind"] = EventKind.BREAK_COW
    events["seq"] = [(number + first) % 65536 for number in order]
    tracker = LossTracker()
    if first:
        before = empty_records(first)
        before["kind"] = EventKind.BREAK_COW
        before["seq"] = range(first)
        assert len(tracker.mark(before)) == first
    whole = tracker.mark(events)
    assert whole["aux"][whole["kind"] == EventKind.LOST].sum() == len(gone)
    assert len(tracker.settle(len(gone))) == 0

    cutting = LossTracker()
    if first:
        cutting.mark(before)
    parts = [cutting.mark(events[:cut]), cutting.mark(events[cut:]), cutting.settle(len(gone))]
    lost = sum(int(part["aux"][part["kind"] == EventKind.LOST].sum()) for part in parts)
    overtaken = sum(number > min(order[cut:], default=60) for number in order[:cut])
    assert len(gone) <= lost <= len(gone) + (by * len(late) if overtaken else 0)
