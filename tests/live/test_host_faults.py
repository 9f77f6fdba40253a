"""What happens to a host while it is traced: nothing is lost, and every count is the kernel's."""

import ctypes
import mmap
import os
import signal
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from support.tracing import trace

pytestmark = pytest.mark.guest

CPU = Path("/sys/devices/system/cpu/cpu1/online")
TRACING = Path("/sys/kernel/tracing")
HOOKED = ("try_to_merge_one_page", "break_cow", "__ksm_enter", "__ksm_exit", "do_wp_page")
MADV_PAGEOUT = 21
PAGES = 100


def merging(ksm, processes, *names):
    """Processes whose pages are equal, and ksmd at work on them."""
    for name in names:
        processes.spawn(name)
        processes.do(name, "map", region="r", pages=PAGES)
        processes.do(name, "fill", region="r", content="twin:1")
        processes.do(name, "mergeable", region="r")
    ksm.write("sleep_millisecs", 20)
    ksm.write("pages_to_scan", 300)
    ksm.write("run", 1)


def passes(ksm, count):
    """Wait for so many further passes."""
    before = ksm.counter("full_scans")
    deadline = time.monotonic() + 300
    while ksm.counter("full_scans") < before + count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def at_rest(ksm):
    """Let what is under way end, so that the last reading is of a KSM that stands still."""
    passes(ksm, 2)
    ksm.write("run", 0)
    time.sleep(0.3)


def check(document, *, unseen=0):
    """Equal to the kernel: each count, and the four page gauges.

    Lossless, except for so many pages at most that ksmd examined and nobody saw, which are counted.
    Where the kernel counts what it examines, it counts them too.
    """
    assert document["tier"] == "full"
    events, counts = document["events"], document["self_check"]["counts"]
    lost = events["lost"]
    assert lost <= unseen, events
    assert events["lost_by_cause"]["gathering"] == lost
    assert counts
    differences = {name: row["difference"] for name, row in counts.items()}
    assert differences == {name: -lost if name == "examined" else 0 for name in counts}
    assert document["self_check"]["at_scan_stop_differing"] == 0
    differences = {row["difference"] for row in document["reconciliation"].values()}
    assert differences == {0}
    assert document["plugins_failed"] == {}


@pytest.mark.slow
def test_a_processor_goes_and_comes_back(ksm, processes):
    """Each has sequence numbers and a part of ksmd's work of its own."""
    assert CPU.exists()

    def work():
        merging(ksm, processes, "a", "b")
        passes(ksm, 3)
        for state in ("0", "1", "0", "1"):
            CPU.write_text(state)
            processes.do("a", "fill", region="r", content=f"twin:{state}")
            passes(ksm, 3)
        at_rest(ksm)

    try:
        check(trace(work))
    finally:
        CPU.write_text("1")


def mergers(count, pages):
    """Pids of processes that hold equal pages and do nothing."""
    pids = []
    for _ in range(count):
        if (pid := os.fork()) == 0:
            size = pages * mmap.PAGESIZE
            memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            memory.madvise(mmap.MADV_MERGEABLE)
            memory[:] = b"".join(bytes([page + 1]) * mmap.PAGESIZE for page in range(pages))
            signal.pause()
        pids.append(pid)
    return pids


@pytest.mark.slow
def test_processes_are_killed_by_hundreds(ksm, processes):
    """Two hundred that merge, all at once, amid a pass; one stays, without whom no pass ends."""

    def work():
        pids = mergers(200, 4)
        try:
            merging(ksm, processes, "a")
            deadline = time.monotonic() + 300
            while ksm.counter("pages_sharing") < 400:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            for pid in pids:
                os.waitpid(pid, 0)
        at_rest(ksm)

    document = trace(work)
    # a ksmd that is preempted between mm_users and the page that it chooses may go unseen
    check(document, unseen=4)
    # of one that ksmd has taken off its list already, __ksm_exit is not called
    assert 0 < document["events"]["by_kind"]["MM_EXIT"] <= 200
    assert document["events"]["by_kind"]["MM_ENTER"] >= 201


@pytest.mark.slow
def test_ksm_is_switched_while_it_works(ksm, processes):
    """run 1, 2, 0, 1, 2, 1, with other tunables written meanwhile."""

    def work():
        merging(ksm, processes, "a", "b", "c")
        for run, pages in ((2, 50), (0, 1000), (1, 77), (2, 100), (1, 5000)):
            passes(ksm, 2)
            ksm.write("pages_to_scan", pages)
            ksm.write("run", run)
            time.sleep(0.3)
            processes.do("b", "poke", region="r", offset=0, value=pages % 251)
            ksm.write("sleep_millisecs", 20 + pages % 7)
            ksm.write("run", 1)
        at_rest(ksm)

    document = trace(work)
    check(document)
    assert document["events"]["by_kind"]["TUNABLE"] >= 20


def define(events, line):
    """Write one line, without the seek to the end that Python's "a" does."""
    file = os.open(events, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


@contextmanager
def other_probes():
    """Somebody else's kprobes on the functions that are traced, through tracefs."""
    events = TRACING / "kprobe_events"
    if not events.exists():
        subprocess.run(["mount", "-t", "tracefs", "none", TRACING], check=True)
    made = []
    try:
        for name in HOOKED:
            for kind in "pr":
                with suppress(OSError):  # a function that this kernel has inlined
                    define(events, f"{kind}:others/{kind}_{name} {name}")
                    made.append(f"{kind}_{name}")
        assert len(made) >= 4
        (TRACING / "events/others/enable").write_text("1")
        yield
    finally:
        if made:
            (TRACING / "events/others/enable").write_text("0")
        for name in made:
            define(events, f"-:others/{name}")


def test_another_tracer_is_on_the_same_functions(ksm, processes):
    """It comes and goes while we trace, and is there before and behind our own probes."""

    def work():
        merging(ksm, processes, "a", "b")
        passes(ksm, 2)
        with other_probes():
            processes.do("a", "fill", region="r", content="twin:2")
            passes(ksm, 3)
            processes.do("b", "fill", region="r", content="twin:2")
            passes(ksm, 3)
        processes.do("a", "fill", region="r", content="twin:1")
        at_rest(ksm)

    check(trace(work))


@pytest.mark.slow
def test_two_ksmtraces_at_once(ksm, processes):
    """The second begins and ends while the first one traces; both are exact."""
    second = []

    def inner():
        processes.do("a", "fill", region="r", content="twin:2")
        passes(ksm, 3)
        processes.do("b", "fill", region="r", content="twin:2")
        at_rest(ksm)

    def work():
        merging(ksm, processes, "a", "b")
        ksm.write("sleep_millisecs", 200)  # one Python process reads both streams
        passes(ksm, 2)
        second.append(trace(inner))
        ksm.write("run", 1)
        processes.do("a", "fill", region="r", content="twin:1")
        at_rest(ksm)

    first = trace(work)
    check(first)
    check(second[0])
    assert first["events"]["total"] > second[0]["events"]["total"] > PAGES


@pytest.mark.slow
def test_pages_are_swapped_out_and_in(ksm, processes, tmp_path):
    """As memory pressure has it; pages that KSM shares stay, or come back as others' copies."""
    swap = Path("/dev/shm/swap")
    with swap.open("wb") as file:
        file.write(bytes(64 << 20))
    subprocess.run(["modprobe", "loop"], capture_output=True, check=False)  # built in somewhere
    device = subprocess.run(
        ["losetup", "--show", "-f", swap], capture_output=True, text=True, check=False
    ).stdout.strip()
    try:
        assert device
        subprocess.run(["mkswap", device], capture_output=True, check=True)
        subprocess.run(["swapon", device], check=True)
        memory = mmap.mmap(-1, PAGES * mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))

        def work():
            memory.madvise(mmap.MADV_MERGEABLE)
            merging(ksm, processes, "a", "b")
            for turn in range(1, 4):
                for page in range(PAGES):
                    memory[page * mmap.PAGESIZE : (page + 1) * mmap.PAGESIZE] = (
                        bytes([turn if page % 2 else page % 251]) * mmap.PAGESIZE
                    )
                passes(ksm, 3)
                libc = ctypes.CDLL(None, use_errno=True)
                size = ctypes.c_size_t(PAGES * mmap.PAGESIZE)
                assert libc.madvise(ctypes.c_void_p(address), size, MADV_PAGEOUT) == 0
                passes(ksm, 2)
            at_rest(ksm)

        check(trace(work))
    finally:
        subprocess.run(["swapoff", device], check=False)
        subprocess.run(["losetup", "-d", device], check=False)
        swap.unlink()


@pytest.mark.slow
def test_a_cgroup_is_removed(ksm, processes):
    """Its process goes on elsewhere: pages of a group that is gone are still somebody's."""
    root = Path("/sys/fs/cgroup")
    assert (root / "cgroup.procs").exists()
    group = root / "removed"
    group.mkdir()

    def work():
        merging(ksm, processes, "a", "b")
        pids = [int(pid) for pid in (root / "cgroup.procs").read_text().split()]
        (group / "cgroup.procs").write_text(str(max(pids)))
        passes(ksm, 3)
        (root / "cgroup.procs").write_text(str(max(pids)))
        group.rmdir()
        processes.do("a", "fill", region="r", content="twin:3")
        at_rest(ksm)

    try:
        document = trace(work)
    finally:
        with suppress(FileNotFoundError):
            group.rmdir()
    check(document)
    saved = document["analyzers"]["balance"]
    assert saved["total"]
