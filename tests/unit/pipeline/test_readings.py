"""ksmtrace_reading: each reading of the counters once, in order, after the batch that it ends."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksmtrace import hookimpl
from ksmtrace.events import EventBatch, EventKind, Flag, Gauge
from ksmtrace.events.readings import ReadingTracker
from support.runs import any_row, runner
from support.streams import events, sample

counters = st.dictionaries(
    st.sampled_from([gauge.name.lower() for gauge in Gauge if gauge is not Gauge.FAULT_PROBES]),
    st.integers(-(2**63), 2**63 - 1),
    min_size=1,
    max_size=4,
)


@st.composite
def readings_among_events(draw):
    """Rows of readings with other events between them, the readings, and where to cut."""
    rows, expected = [], []
    for values in draw(st.lists(counters, max_size=6)):
        rows += draw(st.lists(any_row, max_size=6))
        at_scan_stop = draw(st.booleans())
        rows += sample(at_scan_stop=at_scan_stop, **values)
        expected.append(({Gauge[name.upper()]: v for name, v in values.items()}, at_scan_stop))
    rows += draw(st.lists(any_row, max_size=6))
    rows = [{**row, "ts": ts} for ts, row in enumerate(rows)]
    return rows, expected, draw(st.lists(st.integers(0, len(rows)), max_size=8, unique=True))


class Follower:
    """Keeps what its hooks are called with."""

    def __init__(self):
        self.calls = []

    @hookimpl
    def ksmtrace_batch(self, batch, reconstruction):
        self.calls.append(("batch", batch, reconstruction.batches))

    @hookimpl
    def ksmtrace_reading(self, reading, reconstruction):
        self.calls.append(("reading", reading, reconstruction.batches))

    @hookimpl
    def ksmtrace_scan_end(self, scan, reconstruction):
        self.calls.append(("scan_end", scan, reconstruction.batches))


def followed(rows, cuts=()):
    """The hook calls of a run over `rows`, cut into batches before each index of `cuts`."""
    stream, follower = events(*rows), Follower()
    edges = [0, *sorted(cuts), len(rows)]
    batches = [EventBatch(stream.events[a:b]) for a, b in pairwise(edges)]
    runner(batches, {"follower": follower}, interval=3600).run()
    return follower.calls


@given(readings_among_events())
def test_every_reading_comes_once_in_order_with_the_values_of_its_records(stream):
    rows, expected, cuts = stream
    found = [one for what, one, _ in followed(rows, cuts) if what == "reading"]
    assert [(dict(reading.values), reading.at_scan_stop) for reading in found] == expected
    ends = [
        row["ts"]
        for row in rows
        if row["kind"] == EventKind.SAMPLE and row.get("flags", 0) & Flag.LAST_OF_SAMPLE
    ]
    assert [reading.ns for reading in found] == ends


def test_a_reading_has_no_values_of_one_whose_end_was_lost():
    earlier = sample(pages_shared=1, pages_sharing=2)[:1]
    later = sample(pages_shared=7, pages_sharing=8)
    lost = {"kind": EventKind.LOST, "aux": 3}
    (found,) = (
        one for what, one, _ in followed([*earlier, lost, later[1]], [1]) if what == "reading"
    )
    assert dict(found.values) == {Gauge.PAGES_SHARING: 8}
    whole = [one for what, one, _ in followed([*earlier, lost, *later]) if what == "reading"]
    assert [dict(one.values) for one in whole] == [{Gauge.PAGES_SHARED: 7, Gauge.PAGES_SHARING: 8}]


@given(readings_among_events())
def test_a_reading_follows_the_batch_that_ends_with_it(stream):
    rows, _, cuts = stream
    calls = followed(rows, cuts)
    for (before, batch, state), (what, reading, at) in pairwise(calls):
        if what == "reading":
            assert before == "batch"
            assert int(batch.events["ts"][-1]) == reading.ns
            assert batch.flags[-1] & Flag.LAST_OF_SAMPLE
            assert state == at
        if before == "batch" and batch.kind[-1] == EventKind.SAMPLE:
            assert bool(batch.flags[-1] & Flag.LAST_OF_SAMPLE) == (what == "reading")


def test_a_reading_cannot_be_changed_by_a_plugin():
    (_, reading, _) = followed(sample(pages_shared=3))[1]
    with pytest.raises(TypeError):
        reading.values[Gauge.PAGES_SHARED] = 4
    assert reading.values == {Gauge.PAGES_SHARED: 3}


def test_a_gauge_of_a_newer_version_is_passed_over():
    rows = sample(pages_shared=3, pages_sharing=4)
    rows[0]["address"] = 60_000
    (_, reading, _) = followed(rows)[1]
    assert reading.values == {Gauge.PAGES_SHARING: 4}


def test_the_mark_of_a_window_is_no_part_of_a_reading():
    mark = {"kind": EventKind.SAMPLE, "address": Gauge.FAULT_PROBES, "aux": 1}
    (found,) = ReadingTracker().apply(events(mark, *sample(pages_shared=3)))
    assert found.values == {Gauge.PAGES_SHARED: 3}
