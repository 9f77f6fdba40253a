"""Processes by mm against a second account, and the texts that say what they are."""

import struct
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ksmtrace.events import EventBatch, EventKind, ProcessGauge, ProcessText
from ksmtrace.model.processes import MOST_EXITED, ProcessTable, printable, text_records
from support.streams import events


def named(mm, pid, comm=b"name"):
    low, high = struct.unpack("<2Q", comm.ljust(16, b"\0"))
    return {"kind": EventKind.PROCESS, "mm": mm, "aux": pid, "pfn": low, "rmap_item": high}


def apply(table, rows):
    """Apply as the runner does; returns for each row the number of its mm's process at that
    time."""
    numbers = []
    for part in table.parts(events(*rows)):
        table.apply(part)
        numbers += [table.of(int(mm)).number for mm in part.events["mm"]]
    return numbers


ROWS = st.lists(
    st.one_of(
        st.builds(named, st.integers(1, 3), st.integers(10, 12)),
        st.builds(lambda mm: {"kind": EventKind.MM_ENTER, "mm": mm}, st.integers(1, 3)),
        st.builds(lambda mm: {"kind": EventKind.MM_EXIT, "mm": mm}, st.integers(1, 3)),
        st.builds(lambda mm: {"kind": EventKind.CMP_AND_MERGE_PAGE, "mm": mm}, st.integers(1, 3)),
    ),
    max_size=25,
)


def lives(rows):
    """Which life of its mm each row belongs to: one ends when the mm registers after an exit, or
    gets another pid."""
    life, pid, exited = {}, {}, set()
    for row in rows:
        mm = row["mm"]
        other = row["kind"] == EventKind.PROCESS and pid.get(mm, row["aux"]) != row["aux"]
        if other or (row["kind"] == EventKind.MM_ENTER and mm in exited):
            life[mm] = life.get(mm, 0) + 1
            pid.pop(mm, None)
            exited.discard(mm)
        if row["kind"] == EventKind.PROCESS:
            pid[mm] = row["aux"]
        if row["kind"] == EventKind.MM_EXIT:
            exited.add(mm)
        yield mm, life.get(mm, 0)


@given(ROWS, st.lists(st.integers(0, 25), max_size=4))
def test_one_number_for_each_life_however_the_stream_is_cut(rows, cuts):
    edges = [0, *sorted(cut for cut in cuts if cut < len(rows)), len(rows)]
    table, numbers = ProcessTable(), []
    for start, end in pairwise(edges):
        if start < end:
            numbers += apply(table, rows[start:end])
    expected = {}
    for life, number in zip(lives(rows), numbers, strict=True):
        assert expected.setdefault(life, number) == number
    assert len(set(expected.values())) == len(expected)
    known = table.known()
    assert [process.number for process in known] == sorted(set(expected.values()))


@given(st.sampled_from(ProcessText), st.text(max_size=200))
def test_texts_come_through_and_do_no_harm(which, text):
    table = ProcessTable()
    table.apply(EventBatch(text_records(7, which, text)))
    shown = getattr(table.of(7), which.name.lower())
    assert shown == printable(text.encode("utf-8", "replace"))
    assert all(c.isprintable() for c in shown)


def test_gauges_are_signed_and_the_label_says_the_guest_first():
    table = ProcessTable()
    rows = [
        named(7, 42, b"qemu-system-x86"),
        {
            "kind": EventKind.PROCESS_SAMPLE,
            "mm": 7,
            "address": ProcessGauge.KSM_PROCESS_PROFIT,
            "aux": 2**64 - 4096,
        },
    ]
    table.apply(events(*rows))
    process = table.of(7)
    assert process.gauges == {ProcessGauge.KSM_PROCESS_PROFIT: -4096}
    assert process.label == "qemu-system-x86 42"
    table.apply(EventBatch(text_records(7, ProcessText.VM, "web-1")))
    assert process.label == "web-1"


def test_processes_that_have_exited_are_bounded():
    table = ProcessTable()
    for mm in range(1, MOST_EXITED + 100):
        table.apply(events(named(mm, mm), {"kind": EventKind.MM_EXIT, "mm": mm}))
    assert len(table.known()) == MOST_EXITED
    assert len(table) == MOST_EXITED
