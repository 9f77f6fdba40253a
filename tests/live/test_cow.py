"""COW breaks on a real kernel: a script knows who writes where, and the kernel counts too."""

import platform

import pytest

from support.tracing import trace
from support.truth import Truth

pytestmark = pytest.mark.guest

PAGES = 1024
IN_A_RANGE = 512


def merged_everywhere(ksm, processes):
    """Two processes with equal pages, merged; returns the address of the region, the same in
    both."""
    for name in ("writer", "other"):
        processes.spawn(name)
        address = processes.do(name, "map", region="r", pages=PAGES)["address"]
        processes.do(name, "fill", region="r", content="unique:5")
        processes.do(name, "mergeable", region="r")
    ksm.scan(3)
    return address


def writes(processes):
    """(by writes, by the kernel) of each process, by range."""
    processes.do("writer", "poke", region="r", first=500, pages=31, offset=0, value=1)
    processes.do("other", "poke", region="r", first=20, pages=40, offset=7, value=1)
    processes.do("other", "unmergeable", region="r", first=900, pages=10)
    processes.do(
        "writer", "poke", region="r", first=500, pages=31, offset=0, value=2
    )  # private by now
    return {
        ("writer", 0): (12, 0),
        ("writer", 1): (19, 0),
        ("other", 0): (40, 0),
        ("other", 1): (0, 10),
    }


def table(found):
    """Print figure, truth and difference; returns the differences that are not 0."""
    print(platform.release())
    for name, (ours, truth) in found.items():
        print(f"  {name:<40}{ours:>8}{truth:>8}{ours - truth:>6}")
    return {name: ours - truth for name, (ours, truth) in found.items() if ours != truth}


def compared(told, script, processes, address, counted):
    """Our figures and the script's."""
    user, kernel = (sum(counts[which] for counts in script.values()) for which in (0, 1))
    found = {
        "by writes": (told["user_pages"], user),
        "by the kernel": (told["kernel_pages"], kernel),
        "ranges": (len(told["ranges"]), len(script)),
        "timed faults": (sum(count for _, count in told["fault_histogram"]), user),
    }
    if "cow_ksm" in counted:  # since 5.19
        both = told["user_pages"] + told["kernel_pages"]
        found["both, against cow_ksm"] = both, counted["cow_ksm"]
    by_range = {(one["pid"], one["start"]): one for one in told["ranges"]}
    for (name, number), (by_write, by_kernel) in script.items():
        start = f"{address + number * IN_A_RANGE * 4096:#x}"
        one = by_range.get((processes.pids[name], start), {})
        found[f"{name}, range {number}, by writes"] = one.get("user_pages", 0), by_write
        found[f"{name}, range {number}, by the kernel"] = one.get("kernel_pages", 0), by_kernel
    return found


def test_every_copy_is_put_down_to_its_writer_and_place(ksm, processes):
    ksm.start_stepping()
    kept = {}

    def workload():
        kept["address"] = merged_everywhere(ksm, processes)
        kept["script"] = writes(processes)
        ksm.scan(1)

    with Truth() as truth:
        document = trace(workload)
        counted = truth.read()
    told = document["analyzers"]["cow"]
    found = compared(told, kept["script"], processes, kept["address"], counted)
    found["merges ended by a write"] = told["written_merge_pages"], 12 + 19 + 40
    found["of unknown age"] = told["unknown_age_pages"], 0
    assert table(found) == {}
    assert 0 < told["fault_p50_seconds"] <= told["fault_p99_seconds"]
    assert told["fault_longest_seconds"] <= told["fault_total_seconds"]
    assert told["half_life_seconds"] is None  # of 2048 merges 71
    assert document["events"]["lost"] == 0
    print(
        {
            key: told[key]
            for key in told
            if key.startswith(("fault_p", "fault_l", "fault_t", "regret"))
        }
    )


def test_merges_older_than_the_trace_have_no_age(ksm, processes):
    ksm.start_stepping()
    address = merged_everywhere(ksm, processes)
    kept = {}

    def workload():
        ksm.scan(1)  # ksmd shows whose rmap_items there are
        kept["script"] = writes(processes)
        ksm.scan(1)

    with Truth() as truth:
        document = trace(workload)
        counted = truth.read()
    told = document["analyzers"]["cow"]
    found = compared(told, kept["script"], processes, address, counted)
    found["merges ended by a write"] = told["written_merge_pages"], 0
    found["of unknown age"] = told["unknown_age_pages"], 12 + 19 + 40
    assert table(found) == {}
