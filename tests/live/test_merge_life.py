"""Scripted merges on a real kernel: latency in passes, and lives against the kernel's counters."""

import platform

import pytest

from support.tracing import trace

pytestmark = pytest.mark.guest

TWINS, EQUAL = 30, 50


def _checksum_comes_first():
    """From 6.11 on a page must be unchanged before the stable tree is searched; a late twin then
    waits a pass."""
    major, minor, *_ = platform.release().split(".")
    return (int(major), int(minor)) >= (6, 11)


def _spawn(processes, name, *, equal=0):
    processes.spawn(name)
    processes.do(name, "map", region="twins", pages=TWINS)
    processes.do(name, "fill", region="twins", content="unique:77")
    processes.do(name, "mergeable", region="twins")
    if equal:
        processes.do(name, "map", region="equal", pages=equal)
        processes.do(name, "fill", region="equal", content="twin:5")
        processes.do(name, "mergeable", region="equal")


def test_latencies_lives_and_the_most_shared_page(ksm, processes):
    ksm.start_stepping()
    ksm.write("max_page_sharing", 256)

    def workload():
        _spawn(processes, "first", equal=EQUAL)
        _spawn(processes, "second")
        ksm.scan(2)  # fresh twins: looked at, then merged
        _spawn(processes, "late")
        ksm.scan(2)  # twins of KSM pages
        processes.do("first", "fill", region="twins", first=0, pages=10, content="unique:900")
        ksm.scan(1)
        processes.exit("late")
        ksm.scan(1)

    document = trace(workload)
    life, tree = document["analyzers"]["merge_life"], document["analyzers"]["stable_tree"]
    shared, sharing = ksm.counter("pages_shared"), ksm.counter("pages_sharing")
    print(document["kernel"]["release"], life, tree)
    assert document["events"]["lost"] == 0
    fresh = 2 * TWINS + EQUAL
    expected = {"1": 0, "2": fresh}
    expected["2" if _checksum_comes_first() else "1"] += TWINS
    assert {k: v for k, v in life["merge_latency_passes"].items() if k in expected} == expected
    assert sum(life["merge_latency_passes"].values()) == fresh + TWINS
    assert life["seen_pages"] == life["merged_pages"] == fresh + TWINS
    assert (life["broken_pages"], life["gone_pages"], life["cut_pages"]) == (10, TWINS, 0)
    assert life["ended_merges_pages"] == 10 + TWINS
    assert life["lasting_merges_pages"] == shared + sharing == fresh - 10
    assert tree["merged_pages"] == life["ended_merges_pages"] + life["lasting_merges_pages"]
    assert (tree["shared_pages"], tree["sharing_pages"]) == (shared, sharing)
    assert tree["stable_node_chains"] == ksm.counter("stable_node_chains")
    assert tree["stable_node_dups"] == ksm.counter("stable_node_dups")
    top = tree["most_shared"][0]
    assert (top["sharer_pages"], top["older"], top["other_processes"]) == (EQUAL, False, 0)
    assert top["processes"][0]["pid"] == processes.pids["first"]
    assert top["kpfn"] is not None
    assert 0 < life["merge_latency_p50_seconds"] < document["duration_seconds"]
