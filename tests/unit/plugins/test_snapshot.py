"""What was merged before the trace began is counted by process."""

from ksmtrace.events import EventKind
from support.runs import EMPTY, analyse
from support.streams import sample


def site(pid, address, pfn):
    return {"kind": EventKind.SNAPSHOT, "aux": pid, "address": address, "pfn": pfn}


def test_sites_and_frames_are_counted_apart():
    rows = [site(7, 4096 * n, 100 + n % 2) for n in range(5)] + [site(9, 4096, 100)]
    figures = analyse([*rows, *sample(pages_shared=2, pages_sharing=4)], "snapshot").document[
        "analyzers"
    ]["snapshot"]
    assert figures["ksm_pages"] == 2
    assert figures["mapped_pages"] == 6
    assert figures["processes"] == [
        {"pid": 7, "mapped_pages": 5},
        {"pid": 9, "mapped_pages": 1},
    ]


def test_a_long_list_is_cut():
    rows = [site(pid, 4096, 1) for pid in range(1, 31)]
    figures = analyse([*rows, *EMPTY], "snapshot").document["analyzers"]["snapshot"]
    assert [row["pid"] for row in figures["processes"]] == list(range(1, 11))
    assert figures["other_mapped_pages"] == 20


def test_nothing_was_merged():
    figures = analyse([*EMPTY], "snapshot").document["analyzers"]["snapshot"]
    assert (figures["ksm_pages"], figures["mapped_pages"], figures["processes"]) == (0, 0, [])
