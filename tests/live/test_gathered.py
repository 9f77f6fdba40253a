"""Gathering says of every pass what intercepting says that sees it at the same time."""

import json
import platform
import resource
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

from ksmtrace.kernel.pagemap import read_ksm_pages
from ksmtrace.workload.on_kernel import run_on_kernel
from support.joined_workloads import join
from support.oracle import missing_tunables
from support.random_workloads import sample_workloads
from support.tracing import trace
from support.two_streams import Stream, compare, passes
from support.workloads import everything

pytestmark = pytest.mark.guest

COUNT = 50
PAGES = 400
MEMORY = Path("/sys/devices/system/memory")


def report(name, found, **more):
    print(
        f"{platform.release()} {name}: {found.shared} passes, {sum(found.events.values())} events "
        f"{json.dumps(found.events)}, missing {json.dumps(found.missing)}, extra "
        f"{json.dumps(found.extra)}, in another order {found.other_order} (of pages "
        f"{found.other_page_order}) {more or ''}"
    )
    for example in found.examples:
        print("  ", example)


def both(work, name):
    """What gathering and intercepting say of `work`, compared; neither may lose anything."""
    with ExitStack() as streams:
        intercepted = streams.enter_context(Stream("kprobe"))
        gathered = streams.enter_context(Stream("gather"))
        work()
        time.sleep(0.2)
    one, other = passes(intercepted.events), passes(gathered.events)
    found = compare(one, other)
    report(name, found, whole=(len(one.whole), len(other.whole)), lost=(one.lost, other.lost))
    assert one.lost == other.lost == 0
    assert abs(len(one.whole) - found.shared) <= 1
    return found


def check(found):
    assert found.missing == found.extra == {}
    assert found.other_order == 0


def no_difference(document):
    assert document["events"]["lost"] == 0
    assert document["self_check"]["at_scan_stop_differing"] == 0
    counts = document["self_check"]["counts"]
    assert {row["difference"] for row in counts.values()} == {0}


def test_everything(ksm, processes):
    """Every kind of page and of end, stepped pass by pass."""
    ksm.start_stepping()
    found = both(lambda: everything(ksm, processes), "everything")
    check(found)
    assert found.shared > 30
    assert found.events["CMP_AND_MERGE_PAGE"] > 10_000


@pytest.mark.parametrize("number", [11, 12])
def test_random_workloads(clean_ksm, number, scaled):
    """Forks, exits, unmaps, writes, run=2, tunables, batches of any size: fifty of each number."""
    without = missing_tunables() | {"max_page_sharing"}
    count = scaled(COUNT)
    workloads = sample_workloads(count, number=number, most_steps=12, without=without)
    joined = join(workloads).workload
    found = both(lambda: run_on_kernel(joined, lambda line: None), f"random workloads {number}")
    check(found)
    assert found.shared > count


def test_attached_late(ksm, processes):
    """Both attached when all has happened already."""
    ksm.start_stepping()
    everything(ksm, processes)

    def more():
        ksm.scan(1)
        processes.do("alpha", "poke", region="equal", first=0, pages=60, offset=3, value=7)
        processes.do("beta", "discard", region="unique", first=0, pages=30)
        ksm.scan(4)

    found = both(more, "attached late")
    check(found)
    assert found.shared >= 4


@contextmanager
def offline(pfns):
    """The blocks of memory that hold these frames, those of them that the kernel gives up."""
    block_bytes = int((MEMORY / "block_size_bytes").read_text(), 16)
    taken = []
    try:
        for number in sorted({pfn * resource.getpagesize() // block_bytes for pfn in pfns}):
            state = MEMORY / f"memory{number}/state"
            with suppress(OSError):  # pages of the kernel itself are there, which cannot move
                state.write_text("offline")
                taken.append(state)
        yield len(taken)
    finally:
        for state in taken:
            state.write_text("online_movable")


def test_memory_goes_offline(ksm, processes):
    """KSM pages move to other frames, of which no function that ksmd calls tells."""
    # else files that were read have the movable zone, which processes get first when it is free
    Path("/proc/sys/vm/drop_caches").write_text("1")
    ksm.start_stepping()
    for name in ("one", "two", "three"):
        processes.spawn(name)
        at = processes.do(name, "map", region="r", pages=PAGES)["address"]
        processes.do(name, "fill", region="r", content="unique:1")
        processes.do(name, "mergeable", region="r")
    ksm.scan(2)

    def frames():
        pages = read_ksm_pages()
        number = (pages.address - np.uint64(at)) // np.uint64(resource.getpagesize())
        ours = (pages.pid == processes.pids["three"]) & (number < PAGES)
        return set(pages.pfn[ours].tolist())

    def work():
        ksm.scan(1)
        before = frames()
        assert len(before) == PAGES
        with offline(before) as blocks:
            moved = before - frames()
            print(f"{platform.release()}: {blocks} blocks offline, {len(moved)} KSM pages moved")
            assert moved
            ksm.scan(2)
            processes.do("one", "poke", region="r", pages=40, offset=3, value=7)
            processes.do("two", "unmap", region="r", first=100, pages=50)
            ksm.scan(3)
        processes.exit("three")
        ksm.scan(2)

    found = both(lambda: no_difference(trace(work)), "memory goes offline")
    check(found)
    assert found.shared >= 7


@pytest.mark.parametrize(
    ("pages_to_scan", "sleep_millisecs"), [(5000, 20), (1000, 0), (500_000, 0)]
)
def test_nothing_is_lost_of_a_busy_ksmd(ksm, processes, pages_to_scan, sleep_millisecs, scaled):
    """With the ring as it is by default."""
    for name, content in (("twins", "twin:1"), ("unique", "unique:1"), ("more", "unique:2")):
        processes.spawn(name)
        processes.do(name, "map", region="r", pages=2000)
        processes.do(name, "fill", region="r", content=content)
        processes.do(name, "mergeable", region="r")
    ksm.write("sleep_millisecs", sleep_millisecs)
    ksm.write("pages_to_scan", pages_to_scan)

    def busy():
        ksm.write("run", 1)
        for beat in range(scaled(8)):
            processes.do("more", "poke", region="r", offset=0, value=beat + 1)
            processes.do("twins", "poke", region="r", first=50 * beat, pages=50, value=1, offset=0)
            processes.do("twins", "fill", region="r", first=50 * beat, pages=50, content="twin:1")
            time.sleep(1)
        ksm.write("run", 0)

    document = trace(busy, probes="gather")
    print(
        *(platform.release(), pages_to_scan, sleep_millisecs, document["passes"]),
        *(document["events"]["total"], json.dumps(document["self_check"])),
    )
    assert document["passes"] > 1
    no_difference(document)
