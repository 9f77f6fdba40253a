"""What this kernel does not run of attached programs, provoked, against the kernel's own counts."""

import os
import struct
import threading
import time

import pytest

from ksmtrace.kernel import bpf_stats
from ksmtrace.kernel.bpf import RETURN_0, attach_tracing, load_kprobe, load_raw_tracepoint
from ksmtrace.kernel.bpf_stats import read_missed_kprobes, read_recursion_misses
from ksmtrace.kernel.btf import Btf
from ksmtrace.kernel.kprobe import attach_kprobe

pytestmark = pytest.mark.guest

CLOCK = "bpf_ktime_get_ns"
READ_CLOCK = struct.pack("<BBhi", 0x85, 0, 0, 5) + RETURN_0
"""A program that calls it."""
RUNS, SLEEPERS = 7, 30
SECONDS = 10
"""Long enough for all to sleep at once, however slowly threads are started."""


@pytest.fixture
def held():
    """Descriptors, closed afterwards, last first."""
    descriptors = []
    yield descriptors
    for descriptor in reversed(descriptors):
        os.close(descriptor)


def test_a_program_that_comes_upon_itself_is_counted(held):
    """fentry of a helper that the program itself calls: it is passed over once a run."""
    btf = Btf()
    found = btf.function(CLOCK)
    btf.close()
    assert found is not None
    held += attach_tracing(READ_CLOCK, found[0], at_return=False)
    held.append(load_raw_tracepoint(READ_CLOCK))
    before = read_recursion_misses(held[0])
    if before is None:
        assert os.uname().release.startswith("5.10.")
        return
    for _ in range(RUNS):
        bpf_stats._test_run(held[-1])
    assert read_recursion_misses(held[0]) - before >= RUNS
    assert read_recursion_misses(held[-1]) == 0


def test_kretprobe_instances_that_run_out_are_counted(held):
    """More tasks sleep in the function than there are instances (twice the CPUs, and ten)."""
    program = load_kprobe(RETURN_0)
    held += [program, *attach_kprobe(program, "do_nanosleep", at_return=True)]
    links = held[2:]
    sleepers = [threading.Thread(target=time.sleep, args=(SECONDS,)) for _ in range(SLEEPERS)]
    for one in sleepers:
        one.start()
    for one in sleepers:
        one.join()
    (missed,) = [read_missed_kprobes(link) for link in links] or [None]
    major, minor = map(int, os.uname().release.split(".")[:2])
    if (major, minor) < (6, 7):
        assert missed is None
    else:
        assert 0 < missed < SLEEPERS
    held.append(load_kprobe(RETURN_0))
    held += attach_kprobe(held[-1], "do_nanosleep", at_return=False)
    time.sleep(0.01)
    if len(links) == 1:
        assert read_missed_kprobes(held[-1]) in (0, None)
