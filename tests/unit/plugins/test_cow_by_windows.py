"""Analyzers where COW faults are seen in windows: who wrote is derived, times are sampled."""

from dataclasses import replace

import pytest

from ksmtrace.events import EventKind, Flag, Gauge
from ksmtrace.session import Exactness, Probe
from support.runs import EMPTY, FREED, IN_STABLE, analyse, appended, process, removed
from support.streams import session

SECOND = 10**9
WRITER, OTHER = 1, 2
RANGE = 1 << 21
WINDOWS = Probe("test", Exactness.SAMPLED, share=0.02)


def at(seconds, row):
    """The row at that time, at the address that its rmap_item stands for."""
    return {**row, "ts": int(seconds * SECOND), "address": row["rmap_item"] << 12}


def mark(seconds, attached):
    return {
        "kind": EventKind.SAMPLE,
        "address": Gauge.FAULT_PROBES,
        "aux": attached,
        "ts": int(seconds * SECOND),
    }


def fault(seconds, took, *, flags=0):
    return {
        "kind": EventKind.COW_FAULT,
        "mm": WRITER,
        "address": 77 << 12,
        "ts": int(seconds * SECOND),
        "aux": took,
        "flags": flags,
    }


def counted(seconds, copies):
    return {
        "kind": EventKind.SAMPLE,
        "address": Gauge.COW_KSM,
        "aux": copies,
        "ts": int(seconds * SECOND),
        "flags": Flag.LAST_OF_SAMPLE,
    }


NAMES = [process(WRITER, 10, b"writer"), process(OTHER, 20, b"other")]
MERGED = [
    *(at(1, appended(page, 9, new=page == 1, mm=WRITER)) for page in (1, 2, 3, 600)),
    *(at(1, appended(page, 9, mm=OTHER)) for page in (1001, 1002)),
]
LEFT = [
    *(at(21, removed(page, IN_STABLE, mm=WRITER)) for page in (1, 2)),
    at(101, removed(600, IN_STABLE, mm=WRITER)),
    at(101, removed(1001, IN_STABLE, mm=OTHER)),
    at(102, removed(1002, IN_STABLE | FREED, mm=OTHER)),
]
IN_A_WINDOW = [
    mark(4, 1),
    fault(5, 1000),
    fault(5, 3000),
    fault(5, 9, flags=Flag.BY_KERNEL),
    mark(6, 0),
]


def told(*rows, of=None):
    of = of or session()
    probes = {**of.probes, EventKind.COW_FAULT: WINDOWS}
    ordered = sorted((*EMPTY, *NAMES, *rows), key=lambda row: row.get("ts", 0))
    shown = analyse(
        ordered, "cow", "balance", "groups", "stable_tree", of=replace(of, probes=probes)
    )
    return shown


def test_who_wrote_where_is_what_left():
    cow = told(*MERGED, *LEFT).document["analyzers"]["cow"]
    assert cow["user_pages"] == 4
    assert cow["kernel_pages"] is None
    assert [(one["pid"], one["user_pages"], one["kernel_pages"]) for one in cow["processes"]] == [
        (10, 3, None),
        (20, 1, None),
    ]
    assert {
        (one["pid"], int(one["start"], 16) // RANGE, one["user_pages"]) for one in cow["ranges"]
    } == {
        (10, 0, 2),
        (10, 1, 1),
        (20, 1, 1),
    }
    assert cow["written_merge_pages"] == 4
    assert cow["regret_pages"] == 2  # at 20 s; the others at 100 s
    assert cow["pending_pages"] is None


def test_the_faults_of_windows_are_timed_and_counted_nowhere():
    found = told(*MERGED, *IN_A_WINDOW).document["analyzers"]
    assert found["cow"]["user_pages"] == 0
    assert found["stable_tree"]["cow_fault_pages"] == 0
    assert found["balance"]["total"]["user_break_pages"] == 0
    assert found["cow"]["fault_total_seconds"] == pytest.approx(4e-6)
    sample = found["cow"]["fault_sample"]
    assert (sample["windows"], sample["faults"], sample["open_seconds"]) == (1, 2, 2.0)
    assert sample["p99_high_seconds"] is None  # two faults bound nothing
    assert sample["p50_low_seconds"] is None


def test_quantiles_are_within_their_bounds():
    faults = [fault(5, 1000 + 10 * index) for index in range(1000)]
    cow = told(mark(4, 1), *faults, mark(14, 0)).document["analyzers"]["cow"]
    sample = cow["fault_sample"]
    assert sample["p50_low_seconds"] < 6e-6 <= sample["p50_high_seconds"]
    assert sample["p50_low_seconds"] < cow["fault_p50_seconds"] <= sample["p50_high_seconds"]
    assert sample["p99_low_seconds"] < 10.9e-6 <= sample["p99_high_seconds"]
    assert sample["open_ratio"] == pytest.approx(10 / 14)


def test_every_analyzer_counts_the_same():
    found = told(*MERGED, *LEFT).document["analyzers"]
    assert found["stable_tree"]["cow_fault_pages"] == 4
    assert found["stable_tree"]["kernel_break_pages"] is None
    assert found["balance"]["total"]["user_break_pages"] == 4
    rows = [*found["groups"]["groups"], found["groups"]["other"]]
    assert sum(row["user_break_pages"] for row in rows) == 4


def test_copies_are_timed_by_the_mean_of_what_was_sampled_until_then():
    without = told(*MERGED, *LEFT).document["analyzers"]["balance"]["total"]
    assert without["user_break_seconds"] is None
    assert without["kernel_break_seconds"] is None
    whole = told(*MERGED, *LEFT, *IN_A_WINDOW).document["analyzers"]["balance"]["total"]
    assert whole["user_break_seconds"] == pytest.approx(4 * 2000e-9)


def test_the_kernels_count_stands_beside_them():
    undone = at(50, {"kind": EventKind.BREAK_COW, "rmap_item": 5, "mm": WRITER})
    rows = [counted(0.5, 100), *MERGED, *LEFT, undone, counted(200, 115)]
    cow = told(*rows).document["analyzers"]["cow"]
    assert (cow["copied_pages"], cow["unplaced_pages"]) == (15, 15 - 4 - 1)


def test_the_screen_and_the_report_say_so():
    shown = told(*MERGED, *LEFT, *IN_A_WINDOW)
    section = dict(shown.sections)["cow"]
    assert section.exactness.startswith("Derived")
    assert "sampled: 2" in section.exactness
