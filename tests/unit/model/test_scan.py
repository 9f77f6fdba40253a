"""Passes are summed up alike however the stream is cut."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ksmtrace.events import EventBatch, EventKind
from ksmtrace.model.scan import ScanTracker
from support.streams import events

KINDS = [EventKind.SCAN_START, EventKind.SCAN_STOP, EventKind.LOST, EventKind.BREAK_COW]


def passes(batches):
    tracker = ScanTracker()
    found = [tracker.apply(batch) for batch in batches]
    return [(s.whole, s.duration_ns, s.by_kind.tolist()) for s in found if s is not None]


@given(st.lists(st.sampled_from(KINDS), max_size=40), st.sets(st.integers(0, 40)))
def test_cuts_do_not_matter(kinds, cuts):
    """The runner always cuts after a SCAN_STOP; what else is cut changes nothing."""
    stream = events(*({"kind": kind, "aux": 1} for kind in kinds)).events
    stops = {index + 1 for index, kind in enumerate(kinds) if kind is EventKind.SCAN_STOP}

    def cut(at):
        bounds = sorted({0, len(stream), *(c for c in at if c <= len(stream))})
        return [EventBatch(stream[a:b]) for a, b in pairwise(bounds)]

    assert passes(cut(stops)) == passes(cut(stops | cuts))


def test_a_pass_is_whole_when_its_start_was_seen_and_nothing_lost():
    start, stop, lost = ({"kind": kind} for kind in KINDS[:3])
    (first,) = passes([events(stop)])
    assert first[:2] == (False, 0)
    (second,) = passes([events(start, {"kind": EventKind.BREAK_COW}, stop)])
    assert second[:2] == (True, 2)
    assert second[2][EventKind.BREAK_COW] == 1
    (third,) = passes([events(start, lost, stop)])
    assert third[:2] == (False, 0)
    (fourth,) = passes([events(lost, start, stop)])
    assert fourth[:2] == (True, 1)
