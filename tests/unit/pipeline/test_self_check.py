"""Counts of events against the kernel's own, over the time between two readings."""

from dataclasses import replace

from ksmtrace.events import EventKind, Flag, Gauge
from ksmtrace.events.readings import ReadingTracker
from ksmtrace.pipeline.self_check import SelfCheck
from ksmtrace.pipeline.state import RunState
from ksmtrace.session import Exactness, Probe
from support.streams import events, sample, session

CMP = {"kind": EventKind.CMP_AND_MERGE_PAGE}
TRY = {"kind": EventKind.TRY_TO_MERGE_ONE_PAGE}


def run(check, *steps):
    """Each step: rows of events, and the reading at its end or None."""
    for rows, reading in steps:
        at_scan_stop = "candidates_found" in (reading or {})
        read = sample(at_scan_stop=at_scan_stop, **reading) if reading else []
        batch = events(*rows, *read)
        check.apply(batch)
        for one in ReadingTracker().apply(batch):
            check.read(one)
    return check.to_json()


def test_agreement_and_difference():
    start = {"pages_scanned": 100, "pages_skipped": 5, "cow_ksm": 7}
    end = {"pages_scanned": 103, "pages_skipped": 6, "cow_ksm": 9}
    rows = run(
        SelfCheck(session()),
        ([CMP], start),  # before the first reading nothing counts
        ([CMP, CMP], None),
        ([CMP, {"kind": EventKind.SKIPPED}, {"kind": EventKind.COW_FAULT}], end),
    )
    assert rows["examined"] == {
        "events": 3,
        "against": "pages_scanned",
        "counted": 3,
        "difference": 0,
    }
    assert rows["skipped"]["difference"] == 0
    assert rows["cow_faults"] == {"events": 1, "against": "cow_ksm", "counted": 2, "difference": -1}


def test_merges_against_appends():
    """A first half that is undone, a zero page and a failure are no appends."""
    rows = run(
        SelfCheck(session()),
        ([], {"pages_scanned": 0}),
        (
            [
                TRY,
                {"kind": EventKind.STABLE_APPEND},
                TRY,
                {**TRY, "err": -14},
                {"kind": EventKind.BREAK_COW},
                {**TRY, "flags": Flag.ZERO_PAGE},
            ],
            {"pages_scanned": 0},
        ),
    )
    assert rows["merged"] == {
        "events": 1, "against": "stable_tree_append", "counted": 1, "difference": 0,
    }  # fmt: skip


def test_candidates_are_compared_between_two_ends_of_a_pass():
    rows = run(
        SelfCheck(session()),
        ([], {"pages_scanned": 0}),
        ([CMP], {"candidates_found": 40, "rmap_items": 1}),
        ([CMP, CMP, {"kind": EventKind.SKIPPED}], {"candidates_found": 44, "rmap_items": 1}),
        ([], {"pages_scanned": 3}),
    )
    assert rows["candidates"]["events"] == 3
    assert rows["candidates"]["counted"] == 4
    assert rows["candidates"]["difference"] == -1


def test_what_is_not_seen_is_not_compared():
    unseen = (EventKind.CMP_AND_MERGE_PAGE, EventKind.SKIPPED, EventKind.COW_FAULT)
    start = {"pages_scanned": 0, "pages_skipped": 0, "cow_ksm": 0}
    rows = run(SelfCheck(session(unseen=unseen)), ([], start), ([], start))
    assert set(rows) == {"merged"}


def test_appends_derived_from_the_attempts_prove_nothing():
    """In the tracepoint tier both come from one tracepoint: agreement would be no evidence."""
    derived = session()
    probes = {**derived.probes, EventKind.STABLE_APPEND: Probe("attempts", Exactness.DERIVED)}
    rows = run(
        SelfCheck(replace(derived, probes=probes)),
        ([], {"pages_scanned": 0}),
        ([TRY, {"kind": EventKind.STABLE_APPEND}], {"pages_scanned": 0}),
    )
    assert set(rows) == {"examined"}


def test_counters_that_are_ahead_of_the_events_are_compared_with_nothing():
    """They were read while older events still waited in the ring: what they lack is no difference.

    They are the counters of now all the same.
    """
    start, end = {"pages_scanned": 100, "pages_unshared": 0}, {"pages_scanned": 103}
    ahead = sample(pages_scanned=999, pages_unshared=50)
    ahead[-1]["flags"] |= Flag.BEHIND
    state = RunState(session())

    def examined():
        return {row.name: (row.events, row.other) for row in state.self_check.rows}["examined"]

    for rows in ([*sample(**start)], [CMP, CMP, *ahead], [CMP]):
        state.apply(events(*rows))
    assert examined() == (0, 0)
    assert state.reconciliation.counters[Gauge.PAGES_SCANNED] == 999
    assert state.reconciliation.pairs[Gauge.PAGES_UNSHARED] == (0, 0)
    state.apply(events(*sample(**end)))
    assert examined() == (3, 3)


def test_a_first_reading_that_is_ahead_is_no_beginning():
    ahead = sample(pages_scanned=999)
    ahead[-1]["flags"] |= Flag.BEHIND
    state = RunState(session())
    for rows in (ahead, [CMP], sample(pages_scanned=1000), [CMP], sample(pages_scanned=1001)):
        state.apply(events(*rows))
    rows = {row.name: (row.events, row.other) for row in state.self_check.rows}
    assert rows["examined"] == (1, 1)
