"""What a stream of events says of each page last, against a fold of it one event at a time."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksmtrace.events import EventBatch, EventKind, Flag
from ksmtrace.why.decisions import DECISIONS, Decision, Decisions
from support.streams import events

MM, OTHER = 0xFFFF_0001, 0xFFFF_0002
PID = 77
K = EventKind


def name(mm, pid, comm):
    first, second = struct.unpack("<2Q", comm.encode().ljust(16, b"\0"))
    return {"kind": K.PROCESS, "mm": mm, "aux": pid, "pfn": first, "rmap_item": second}


def look(page, flags=0, before=5, after=5, mm=MM):
    return {
        "kind": K.CMP_AND_MERGE_PAGE, "mm": mm, "address": page * 4096, "flags": flags,
        "oldchecksum": before, "checksum": after,
    }  # fmt: skip


def attempt(page, err=0, flags=0, references=0, mappings=0, mm=MM):
    return {
        "kind": K.TRY_TO_MERGE_ONE_PAGE, "mm": mm, "address": page * 4096, "err": err,
        "flags": flags, "oldchecksum": references, "checksum": mappings,
    }  # fmt: skip


def other(kind, page, flags=0, mm=MM, **more):
    return {"kind": kind, "mm": mm, "address": page * 4096, "flags": flags, **more}


STATE = Flag.PAGE_STATE
CASES = {
    Decision.MERGED: [attempt(1), other(K.STABLE_APPEND, 1), look(1, Flag.STABLE_AFTER)],
    Decision.ZERO_PAGE: [attempt(1, flags=Flag.ZERO_PAGE)],
    Decision.UNSTABLE: [look(1, Flag.UNSTABLE_AFTER)],
    Decision.FIRST_LOOK: [look(1, before=0, after=9)],
    Decision.CHANGED: [look(1, before=8, after=9)],
    Decision.HELD: [
        attempt(1, -14, STATE, 3, 1), look(1),
    ],
    Decision.HUGE: [attempt(1, -14, STATE | Flag.COMPOUND, 515, 512), look(1)],
    Decision.FAILED: [attempt(1, -14, STATE, 2, 1), look(1)],
    Decision.NO_PARTNER: [look(1)],
    Decision.SKIPPED: [look(1, Flag.UNSTABLE_AFTER), other(K.SKIPPED, 1)],
    Decision.WRITTEN: [other(K.STABLE_APPEND, 1), other(K.COW_FAULT, 1)],
    Decision.BROKEN: [other(K.STABLE_APPEND, 1), other(K.COW_FAULT, 1, Flag.BY_KERNEL)],
    Decision.GONE: [other(K.STABLE_APPEND, 1), other(K.REMOVE_RMAP_ITEM, 1, Flag.FREED)],
    Decision.NONE: [other(K.STABLE_APPEND, 1, mm=OTHER), name(OTHER, 78, "mine")],
}  # fmt: skip


def told(rows, pid=PID, comm="mine"):
    found = Decisions("c", pid, comm)
    found.follow([events(name(MM, PID, "mine"), *rows)])
    return found


@pytest.mark.parametrize("decision", Decision, ids=lambda one: one.key)
def test_each_decision(decision):
    found = told(CASES[decision])
    assert found.of(np.array([4096, 8192], dtype=np.uint64)).tolist() == [decision, Decision.NONE]
    assert found.seen is (decision != Decision.NONE)
    assert DECISIONS[decision]


def test_the_first_half_of_a_merge_that_failed_is_undone():
    """The page whose equal is held was merged, and unmerged again."""
    found = told([attempt(1), attempt(2, -14, STATE, 3, 1), other(K.BREAK_COW, 1), look(1)])
    pages = np.array([4096, 8192], dtype=np.uint64)
    assert found.of(pages).tolist() == [Decision.FAILED, Decision.HELD]


def test_a_locked_page_is_held():
    found = told([attempt(1, -14, STATE | Flag.LOCKED, 2, 1), look(1)])
    assert found.of(np.array([4096], dtype=np.uint64)).tolist() == [Decision.HELD]


def test_a_snapshot_has_its_pid_and_perhaps_no_mm():
    rows = [other(K.SNAPSHOT, 1, mm=0, aux=PID), other(K.SNAPSHOT, 2, mm=0, aux=78)]
    found = told(rows).of(np.array([4096, 8192], dtype=np.uint64))
    assert found.tolist() == [Decision.MERGED, Decision.NONE]


def test_another_process_of_the_pid_is_none_of_it():
    assert not told([look(1)], comm="another").seen
    assert not told([look(1)], pid=78).seen
    later = [look(1), {"kind": K.MM_EXIT, "mm": MM}, name(MM, 78, "next"), look(2)]
    found = told(later).of(np.array([4096, 8192], dtype=np.uint64))
    assert found.tolist() == [Decision.NO_PARTNER, Decision.NONE]


ROWS = [row for rows in CASES.values() for row in rows]


@given(st.lists(st.tuples(st.sampled_from(list(CASES)), st.integers(1, 4))), st.data())
def test_the_last_one_counts_however_the_stream_is_cut(chosen, data):
    rows, expected = [name(MM, PID, "mine")], {}
    for decision, page in chosen:
        if decision == Decision.NONE:
            continue
        rows += [{**row, "address": page * 4096} for row in CASES[decision]]
        expected[page] = decision
    whole = events(*rows)
    cut = data.draw(st.integers(0, len(rows)))
    # a look and what it attempted come in one batch
    while 0 < cut < len(rows) and rows[cut]["kind"] not in (K.PROCESS, K.STABLE_APPEND):
        cut -= 1
    found = Decisions("c", PID, "mine")
    found.follow(EventBatch(part) for part in (whole.events[:cut], whole.events[cut:]))
    pages = np.arange(1, 5, dtype=np.uint64) * np.uint64(4096)
    assert found.of(pages).tolist() == [expected.get(page, Decision.NONE) for page in range(1, 5)]
