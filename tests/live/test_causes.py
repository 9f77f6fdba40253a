"""Each cause for which a page is not merged, provoked on a real kernel and recognised."""

import json
import platform

import pytest

from support.tracing import trace

pytestmark = pytest.mark.guest

PASSES = 5
RANGE = 2 << 20
CHANGING, SHARED, PINNED, HELD_WHOLE, EQUAL, UNMAPPED, EXITED = 20, 12, 8, 2, 7, 9, 11


def start(ksm, smart_scan):
    ksm.start_stepping()
    if ksm.has("smart_scan"):
        ksm.write("smart_scan", smart_scan)


def region(processes, name, pages, content, **how):
    """A process with a mergeable region; returns its address."""
    processes.spawn(name)
    answer = processes.do(name, "map", region="r", pages=pages, **how)
    processes.do(name, "fill", region="r", content=content)
    processes.do(name, "mergeable", region="r")
    return answer["address"]


def everything_in_the_way(ksm, processes, addresses):
    """Six causes at once; returns nothing, leaves ksmd stopped after `PASSES` passes."""
    addresses["changing"] = region(processes, "changing", CHANGING, "unique:1")
    addresses["forking"] = region(processes, "forking", SHARED, "unique:2")
    processes.do("forking", "fork", child="forked")
    region(processes, "pinning", PINNED, "unique:3")
    processes.do("pinning", "pin", region="r")
    addresses["twin"] = region(processes, "twin", PINNED, "unique:3")
    region(processes, "huge", 512, "unique:4", huge=True)
    processes.do("huge", "pin", region="r", first=5, pages=1)
    addresses["equal"] = region(processes, "equal", HELD_WHOLE, "unique:4")
    addresses["chain"] = region(processes, "chain", EQUAL, "twin:9")
    region(processes, "leaving", UNMAPPED + 1, "unique:6")
    region(processes, "exiting", EXITED, "unique:7")
    for beat in range(PASSES - 1):
        processes.do("changing", "poke", region="r", offset=64, value=beat + 1)
        ksm.scan()
    processes.do("changing", "poke", region="r", offset=64, value=PASSES)
    processes.do("leaving", "unmap", region="r", first=0, pages=UNMAPPED)
    processes.exit("exiting")
    ksm.scan()


def table(found):
    """Print figure, truth and difference; returns the differences that are not 0."""
    print(platform.release())
    for name, (ours, truth) in found.items():
        print(f"  {name:<40}{ours:>8}{truth:>8}{ours - truth:>6}")
    return {name: ours - truth for name, (ours, truth) in found.items() if ours != truth}


def test_each_cause_is_named_and_counted(ksm, processes):
    start(ksm, 0)
    ksm.write("max_page_sharing", 2)
    addresses = {}
    document = trace(lambda: everything_in_the_way(ksm, processes, addresses))
    told = document["analyzers"]["volatile"]
    pages = {
        **{"changed": CHANGING, "fork_shared": SHARED, "held": PINNED},
        **{"huge_page": HELD_WHOLE, "chain_full": 1, "other": 0},
    }
    unknown = {cause for cause, line in told["causes"].items() if line["now_pages"] is None}
    if document["probes"]["skipped"]["exactness"] == "absent":
        assert not ksm.has("smart_scan")
        assert unknown == {"skipped"}
    else:
        assert unknown == set()
        pages["skipped"] = 0
    found = {}
    for cause, count in pages.items():
        line = told["causes"][cause]
        found[f"{cause}, examined in vain"] = line["examined_pages"], (PASSES - 1) * count
        found[f"{cause}, pages now"] = line["now_pages"], count
    found["gone"] = told["gone_pages"], UNMAPPED + EXITED
    found["huge pages split"] = told["split_huge_pages"], 0
    lines = [line for cause, line in told["causes"].items() if cause not in unknown]
    volatile = sum(line["now_pages"] for line in lines) - 1  # chain_full waits
    found["pages now, against pages_volatile"] = volatile, ksm.counter("pages_volatile")
    whose = {"changed": "changing", "fork_shared": "forked", "held": "twin", "huge_page": "equal"}
    named = {one["pid"]: one for one in told["cause_processes"]}
    for cause, name in {**whose, "chain_full": "chain"}.items():
        ours = named.get(processes.pids[name], {}).get(f"{cause}_pages", 0)
        found[f"{cause}, of the process {name}"] = ours, (PASSES - 1) * pages[cause]
        if name in addresses:
            found[f"{cause}, of the range of {name}"] = (
                of_range(told, processes, addresses, name, cause),
                pages[cause],
            )
    found["events lost"] = document["events"]["lost"], 0
    differing = table(found)
    print(json.dumps([told["causes"], told["ranges"]]))
    assert differing == {}
    spent = sum(line["ksmd_cpu_seconds"] for line in lines)
    assert 0 < spent < document["duration_seconds"]


def of_range(told, processes, addresses, name, cause):
    """Pages of a cause in the 2 MiB in which the region of a process begins, and in the next: it
    may lie across both."""
    found = {(one["pid"], int(one["start"], 16)): one for one in told["ranges"]}
    first = addresses[name] & ~(RANGE - 1)
    places = ((processes.pids[name], start) for start in (first, first + RANGE))
    return sum(found.get(place, {}).get(f"{cause}_pages", 0) for place in places)


def test_a_huge_page_that_nobody_holds_is_split(ksm, processes):
    """The twin waits for the split at most one pass."""
    start(ksm, 0)

    def workload():
        region(processes, "huge", 512, "unique:4", huge=True)
        region(processes, "equal", 3, "unique:4")
        ksm.scan(3)

    told = trace(workload)["analyzers"]["volatile"]
    found = {
        "huge pages split": (told["split_huge_pages"], 1),
        "kept by a huge page now": (told["causes"]["huge_page"]["now_pages"], 0),
        "pages_sharing": (ksm.counter("pages_sharing"), 3),
    }
    assert table(found) == {}


def test_what_smart_scan_passes_over(ksm, processes):
    """Pages of an age of 4 passes and more are looked at in passes 1, 2, 3, 4, 6 and 9."""
    if not ksm.has("smart_scan"):
        return  # the other kernels show it
    start(ksm, 1)
    before = ksm.counter("pages_skipped")  # since the kernel was booted

    def workload():
        region(processes, "lonely", 30, "unique:1")
        ksm.scan(8)

    told = trace(workload)["analyzers"]["volatile"]
    found = {
        "skipped": (told["skipped_pages"], ksm.counter("pages_skipped") - before),
        "skipped, by the script": (told["skipped_pages"], 3 * 30),
        "skipped now": (told["causes"]["skipped"]["now_pages"], 30),
        "pages_volatile": (told["volatile_pages"], ksm.counter("pages_volatile")),
    }
    assert table(found) == {}
