"""Copies derived from what left the stable tree, against the COW_FAULTs of the same stream."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest

from ksmtrace.events import EventBatch, EventKind, Flag
from ksmtrace.model.reconstruction import Reconstruction
from ksmtrace.session import Exactness, Knowledge, Probe
from support.copies import written
from support.engine_streams import recorded
from support.random_workloads import sample_workloads
from support.runs import FREED, IN_STABLE, TO_STABLE, appended, examined, removed
from support.streams import events, session
from support.workload_steps import workload

WINDOWS = Probe("test", Exactness.SAMPLED, share=0.02)


def by_windows(of):
    """The same session with its COW faults seen by windows."""
    return replace(of, probes={**of.probes, EventKind.COW_FAULT: WINDOWS})


def copies(of, records, cuts=()):
    """How many copies of each (mm, page) are derived from these records."""
    following, found = Reconstruction(of), Counter()
    edges = sorted({0, len(records), *cuts})
    for first, end in pairwise(edges):
        for part in following.cut(EventBatch(records[first:end])):
            following.apply(part)
            rows = part.events[following.copies.rows]
            assert not following.copies.by_kernel.any()
            found.update(zip(rows["mm"].tolist(), rows["address"].tolist(), strict=True))
    return found


def test_derived_copies_are_the_writes_between_looks():
    """Of random processes that write, unmap, unmerge and exit while ksmd scans."""
    seen = 0
    without = ("discard", "fork", "read", "snapshot", "run")
    for one in sample_workloads(60, number=3, without=without):
        of, records = recorded(one)
        expected = written(records)
        assert copies(by_windows(of), records) == expected, one
        assert copies(by_windows(of), records, cuts=range(0, len(records), 7)) == expected, one
        seen += expected.total()
    assert seen > 30


SKIP = {"kind": EventKind.SKIPPED, "rmap_item": 1}


def test_what_smart_scan_skips_has_been_written_to():
    """Pages so old that they are skipped while they are other pages, and merged again later."""
    rows = ["spawn a", "spawn b"]
    for name in "ab":
        rows += [f"map {name} r 64", f"fill {name} r content=unique:5", f"mergeable {name} r"]
    rows.append("scan 30")
    for beat in range(12):
        for name, first in (("a", 4 * (beat % 4)), ("b", 12)):
            rows.append(f"poke {name} r first={first} 24 offset=3 value={beat + 1}")
        rows += ["scan 1", "fill a r content=unique:5", "fill b r content=unique:5", "scan 3"]
    rows += ["poke a r offset=3 value=99", "poke b r offset=3 value=98", "scan 1"]
    of, records = recorded(workload(*rows))
    skipped = records["kind"] == EventKind.SKIPPED
    assert skipped.sum() > 500
    expected = written(records)
    assert expected.total() > 100
    assert copies(by_windows(of), records) == expected
    assert copies(by_windows(of), records, cuts=range(0, len(records), 7)) == expected


GONE = {"kind": EventKind.REMOVE_STABLE_NODE, "aux": 9}
# What is seen of it, whether it tells of a copy, and whether it does so of an unknown rmap_item.
LOOKS = {
    "left": ([removed(1, IN_STABLE)], 1, 1),
    "freed": ([removed(1, IN_STABLE | FREED)], 0, 0),
    "its node has gone": ([GONE], 0, 0),
    "its node had gone, and it is in no tree": ([GONE, examined(1, old=3, new=4)], 1, 0),
    "its node had gone, and it is merged at once": ([GONE, appended(1, 8, new=True)], 1, 0),
    "its node had gone, and it is freed": ([GONE, removed(1, FREED)], 0, 0),
    "its node had gone, and it is skipped": ([GONE, SKIP], 1, 0),
    "its node had gone, it is skipped, then merged": ([GONE, SKIP, appended(1, 8, new=True)], 1, 0),
    "skipped, and left": ([SKIP, removed(1, IN_STABLE)], 1, 1),
    "skipped again and again": ([SKIP, removed(1, IN_STABLE), SKIP, SKIP], 1, 1),
    "left, and merged with another": ([removed(1, IN_STABLE), appended(1, 8, new=True)], 1, 1),
    "still there": ([examined(1, IN_STABLE | TO_STABLE, node=9)], 0, 0),
}
BEFORE = {
    "appended": [appended(1, 9, new=True)],
    "found merged": [examined(1, IN_STABLE | TO_STABLE, node=9)],
    "never seen": [],
}


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("before", BEFORE)
def test_what_a_look_tells(look, before):
    rows, known, unknown = LOOKS[look]
    records = events(*BEFORE[before], *rows).events
    for cuts in ((), range(len(records))):
        found = copies(by_windows(session()), records, cuts).total()
        assert found == (known if BEFORE[before] else unknown)


def test_after_a_loss_nothing_is_thought_merged():
    lost = {"kind": EventKind.LOST, "aux": 1}
    rows = [appended(1, 9, new=True), lost, examined(1, old=3, new=4)]
    assert not copies(by_windows(session()), events(*rows).events)


def test_where_every_fault_is_seen_they_are_the_copies():
    rows = [
        appended(1, 9, new=True),
        {"kind": EventKind.COW_FAULT, "mm": 1, "address": 4096, "flags": Flag.BY_KERNEL},
        {"kind": EventKind.COW_FAULT, "mm": 1, "address": 8192},
        removed(1, IN_STABLE),
    ]
    following = Reconstruction(session())
    following.apply(events(*rows))
    assert not following.copies.derived
    assert following.copies.rows.tolist() == [1, 2]
    assert following.copies.by_kernel.tolist() == [True, False]


def test_without_removals_nothing_can_be_derived():
    of = by_windows(session(unseen=[EventKind.REMOVE_RMAP_ITEM]))
    following = Reconstruction(of)
    following.apply(events({"kind": EventKind.COW_FAULT, "mm": 1, "address": 8192}))
    assert not len(following.copies.rows)
    assert not of.knows(Knowledge.WRITES)
    assert of.knows(Knowledge.FAULT_TIMES)
