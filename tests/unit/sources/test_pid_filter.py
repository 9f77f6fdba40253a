"""--pid keeps the pages of some processes, and what belongs to none."""

from ksmtrace.events import EventKind
from ksmtrace.sources.pid_filter import PidFilter
from support.streams import ListSource, events, session


def test_only_the_chosen_processes_remain():
    stream = [
        events(
            {"kind": EventKind.SCAN_START},
            {"kind": EventKind.PROCESS, "mm": 10, "aux": 100},
            {"kind": EventKind.BREAK_COW, "mm": 10},
            {"kind": EventKind.PROCESS, "mm": 20, "aux": 200},
            {"kind": EventKind.BREAK_COW, "mm": 20},
        ),
        events({"kind": EventKind.BREAK_COW, "mm": 10}, {"kind": EventKind.BREAK_COW, "mm": 20}),
        # the address of the mm is used again by another process
        events(
            {"kind": EventKind.PROCESS, "mm": 20, "aux": 300},
            {"kind": EventKind.BREAK_COW, "mm": 20},
        ),
    ]
    limited = PidFilter(ListSource(session(), stream), [200])
    seen = [
        (kind, mm)
        for b in limited.batches()
        for kind, mm in zip(b.kind.tolist(), b.events["mm"].tolist(), strict=True)
    ]
    assert seen == [
        (EventKind.SCAN_START, 0),
        (EventKind.PROCESS, 20),
        (EventKind.BREAK_COW, 20),
        (EventKind.BREAK_COW, 20),
    ]
    assert limited.session.only_pids == (200,)
    assert limited.unseen == []


def test_processes_that_ksmd_never_came_to_are_told():
    stream = [events({"kind": EventKind.PROCESS, "mm": 10, "aux": 100})]
    limited = PidFilter(ListSource(session(), stream), [300, 100, 200, 300])
    assert limited.unseen == [100, 200, 300]
    assert len(list(limited.batches())) == 1
    assert limited.unseen == [200, 300]


def test_where_processes_are_not_seen_nobody_is_told_to_be_unseen():
    blind = session(tier="sysfs", unseen=list(EventKind))
    assert PidFilter(ListSource(blind, []), [300]).unseen == []
