"""Looking at memory changes nothing of it: what is shared stays so."""

import ctypes
import errno
import mmap
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from ksmtrace.estimate.looking import Frames, Lister, Pace, Process, read_contents
from ksmtrace.estimate.pages import Bit, Pages
from ksmtrace.estimate.targets import find_targets
from ksmtrace.kernel.page_contents import PageHasher
from ksmtrace.kernel.page_table import PageTable, frames

PAGES = 40
SHARERS = 3


def looked_at(pids, looks=2, **how):
    processes = [Process(target) for target in find_targets(pids)]
    lister = Lister(**how)
    pages = Pages.joined(
        [piece for at, one in enumerate(processes) for piece in lister.list(at, one)]
    )
    hasher = PageHasher()
    for _ in range(looks):
        pages = read_contents(processes, pages, hasher, Pace())
    return processes, pages


def check_nothing_is_broken(ksm, processes):
    ksm.start_stepping()
    processes.spawn("a")
    for region, content in (("equal", "twin:1"), ("unique", "unique:3"), ("zero", "zero")):
        processes.do("a", "map", region=region, pages=PAGES)
        processes.do("a", "fill", region=region, content=content)
        processes.do("a", "mergeable", region=region)
    ksm.scan(3)
    processes.do("a", "fork", child="b")
    pids = list(processes.pids.values())
    before = {name: ksm.counter(name) for name in ("pages_shared", "pages_sharing")}
    assert before["pages_sharing"] > PAGES
    _, first = looked_at(pids, looks=1, advised_only=True)
    _, again = looked_at(pids, looks=1, advised_only=True)
    assert len(first) == SHARERS * 2 * PAGES
    assert first.frame.tolist() == again.frame.tolist()
    assert {name: ksm.counter(name) for name in before} == before
    assert not again.has(Bit.UNREAD).any()
    assert int(again.has(Bit.ZERO).sum()) == 2 * PAGES
    # the fork shares all pages that were not merged
    assert int(again.has(Bit.FORKED).sum()) + int(again.has(Bit.MERGED).sum()) == len(again)


@pytest.mark.live
def test_what_is_shared_stays_so_here(ksm, processes):
    check_nothing_is_broken(ksm, processes)


@pytest.mark.guest
def test_what_is_shared_stays_so_in_a_guest(ksm, processes):
    check_nothing_is_broken(ksm, processes)


HOLDER = """
import mmap, sys
memory = mmap.mmap(-1, int(sys.argv[1]) << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000)
memory.madvise(mmap.MADV_NOHUGEPAGE)
for at in range(0, int(sys.argv[2])):
    memory[at * 4096] = 1 + at % 250
print(flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder():
    """Starts a process with so many MiB reserved, of which so many pages are written."""
    started = []

    def start(mebibytes, pages):
        command = [sys.executable, "-c", HOLDER, str(mebibytes), str(pages)]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        child.stdout.readline()
        started.append(child)
        return child.pid

    yield start
    for child in started:
        child.kill()
        child.communicate()


@pytest.mark.live
def test_terabytes_that_are_empty_cost_nothing(holder):
    pid = holder(16 << 20, 300)
    (process,), pages = looked_at([pid])
    assert 300 <= process.present < 20_000
    assert len(pages) == process.present


@pytest.mark.live
def test_a_stopped_process_is_read(holder):
    pid = holder(4, 300)
    os.kill(pid, signal.SIGSTOP)
    _, pages = looked_at([pid])
    assert not pages.has(Bit.UNREAD).any()
    assert not pages.has(Bit.CHANGED).any()


@pytest.mark.live
def test_one_that_has_gone_between_two_looks_is_not_read(holder):
    pid = holder(4, 300)
    processes = [Process(target) for target in find_targets([pid])]
    pages = Pages.joined(list(Lister().list(0, processes[0])))
    hasher = PageHasher()
    pages = read_contents(processes, pages, hasher, Pace())
    assert not pages.has(Bit.UNREAD).any()
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    pages = read_contents(processes, pages, hasher, Pace())
    assert pages.has(Bit.UNREAD).all()


@pytest.mark.live
def test_pages_that_cannot_be_read_leave_the_others():
    """An unmapped page amid others, and one without permission, which ksmd merges all the same."""
    size = 64 * mmap.PAGESIZE
    memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory[:] = b"x" * size
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    if (pid := os.fork()) == 0:
        libc = ctypes.CDLL(None)
        memory[:] = b"y" * size
        libc.mprotect(ctypes.c_void_p(address + 9 * mmap.PAGESIZE), mmap.PAGESIZE, 0)
        signal.pause()
    try:
        processes = [Process(target) for target in find_targets([pid])]
        hasher = PageHasher()
        while True:
            pages = Pages.joined(list(Lister().list(0, processes[0])))
            pages = read_contents(processes, pages, hasher, Pace())
            here = (pages.address >= address) & (pages.address < address + size)
            if len(set(pages.hash[here & ~pages.has(Bit.UNREAD)].tolist())) == 1 and (
                pages.has(Bit.UNREAD)[here].sum() == 1
            ):
                break
        assert int(here.sum()) == 64
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@pytest.mark.live
def test_a_share_takes_all_that_map_a_frame():
    """Of a fork's pages both processes' are in the sample, or neither's."""
    memory = mmap.mmap(-1, 4000 * mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    memory[:] = os.urandom(4000 * mmap.PAGESIZE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    pids = []
    for _ in range(2):
        if (pid := os.fork()) == 0:
            signal.pause()
        pids.append(pid)
    try:
        processes, pages = looked_at(pids, share=0.25, key=5)
        here = (pages.address >= address) & (pages.address < address + len(memory))
        assert 700 < here.sum() / 2 < 1300
        by_process = [set(pages.frame[here & (pages.process == at)].tolist()) for at in (0, 1)]
        assert by_process[0] == by_process[1]
        assert sum(one.present for one in processes) > 8000
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


@pytest.mark.live
def test_the_zero_page_is_known():
    with mmap.mmap(-1, mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as own:
        assert own[0] == 0
        view = np.frombuffer(own, dtype=np.uint8)
        with PageTable(os.getpid()) as table:
            entry = table.entries(view.ctypes.data, 1)
        del view
    assert int(frames(entry)[0]) == Frames().zero != 0


@pytest.mark.live
def test_who_may_not_read_is_told():
    target = find_targets([os.getppid()])[0]
    if (pid := os.fork()) == 0:
        status = 1
        try:
            os.setgid(65534)
            os.setuid(65534)
            process = Process(target)
            empty = not list(Lister().list(0, process))
            status = 0 if empty and os.strerror(errno.EACCES) in process.unread else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
