"""What the programs take of ksmd is the kernel's count of them, and the way into them."""

import errno

import pytest

from ksmtrace.kernel.bpf_stats import Clock, Runs
from ksmtrace.sources.live import probe_timer
from ksmtrace.sources.live.hook_threads import SHARED, way_instructions
from ksmtrace.sources.live.probe_spec import Hook, Place, entry
from ksmtrace.sources.live.probe_table import PROBES
from ksmtrace.sources.live.probe_timer import ProbeTimer
from ksmtrace.sources.live.program import Loaded

CLOCK = Clock(instruction_ns=0.5, empty_ns=20.0, other_ns=10.0)
APPEND = Loaded(3, entry("stable_tree_append", "body"), "kprobe")
FAULT = Loaded(4, entry("do_wp_page", "body"), "kprobe")
STOP = Loaded(5, entry("kthread_should_stop", "body"), "kprobe")


class Kernel:
    """Counts of programs, ksmd's time, and whether the kernel counts."""

    def __init__(self, monkeypatch):
        self.runs = {3: Runs(1000, 9_000_000), 4: Runs(0, 0), 5: Runs(0, 0)}
        self.ksmd_ns = 5_000_000
        self.in_ksmd = [0] * len(SHARED)
        self.open = 0
        self.loaded = {"append": APPEND, "fault": FAULT, "stop": STOP}
        self.refuses = None
        monkeypatch.setattr(probe_timer, "enable_stats", self.enable)
        monkeypatch.setattr(probe_timer, "measure_clock", lambda: CLOCK)
        monkeypatch.setattr(probe_timer, "read_runs", lambda descriptor: self.runs[descriptor])
        monkeypatch.setattr(probe_timer, "read_cpu_ns", lambda pid: self.ksmd_ns)
        monkeypatch.setattr(probe_timer.os, "close", self.close)

    def enable(self):
        if self.refuses is not None:
            raise OSError(self.refuses, "refused")
        self.open += 1
        return 99

    def close(self, descriptor):
        assert descriptor == 99
        self.open -= 1

    def ksmd_runs(self):
        return list(self.in_ksmd)


@pytest.fixture
def kernel(monkeypatch):
    return Kernel(monkeypatch)


def test_ksmds_and_others_are_told_apart(kernel):
    timer = ProbeTimer(kernel, 41)
    timer.begin()
    assert kernel.open == 1
    kernel.runs = {3: Runs(1100, 9_102_000), 4: Runs(50, 61_000), 5: Runs(1000, 70_000)}
    kernel.in_ksmd[SHARED.index("kthread_should_stop")] = 4
    kernel.ksmd_ns += 2_000_000
    found = timer.end()
    assert kernel.open == 0
    # 100 appends of 1,020 ns, 20 of them the count's own; kthread_should_stop: 50,000 ns net, of
    # which 996 runs of other threads took 10 each; each run has the way in, 344 instructions.
    assert found.in_ksmd_ns == 100 * 1000 + (50_000 - 9960) + (100 + 4) * 172
    assert found.elsewhere_ns == 50 * 1200 + 9960 + (50 + 996) * 172
    assert (found.runs_in_ksmd, found.runs_elsewhere) == (104, 1046)
    assert found.ksmd_ns == 2_000_000
    assert found.ratio == found.in_ksmd_ns / 2_000_000
    assert found.err == 0


def test_what_the_kernel_does_not_count_is_not_known(kernel):
    kernel.refuses = errno.EPERM
    timer = ProbeTimer(kernel, 41)
    timer.begin()
    found = timer.end()
    assert (found.err, found.ratio) == (-errno.EPERM, None)
    kernel.refuses = None
    timer.begin()
    kernel.ksmd_ns += 10
    assert timer.end().ratio == 0


def test_a_ksmd_that_sleeps_has_no_share(kernel):
    timer = ProbeTimer(kernel, 41)
    timer.begin()
    found = timer.end()
    assert (found.err, found.ratio) == (0, None)


def test_a_kernel_without_schedstat(kernel):
    kernel.ksmd_ns = None
    timer = ProbeTimer(kernel, 41)
    timer.begin()
    assert timer.end().ratio is None


def test_held_it_counts_until_it_is_closed(kernel):
    timer = ProbeTimer(kernel, 41)
    timer.hold()
    kernel.refuses = errno.EPERM
    for _ in range(2):
        timer.begin()
        kernel.ksmd_ns += 10
        assert timer.end().err == 0
    assert kernel.open == 1
    timer.close()
    assert kernel.open == 0


def test_programs_that_come_and_go_meanwhile(kernel):
    timer = ProbeTimer(kernel, 41)
    del kernel.loaded["fault"]
    timer.begin()
    kernel.loaded["fault"] = FAULT
    kernel.runs[4] = Runs(2, 2040)
    assert timer.end().elsewhere_ns == 2000 + 2 * 172


def test_every_hook_of_the_table_has_a_way():
    mechanisms = {
        Place.TRACEPOINT: ("raw_tracepoint",),
        Place.SWITCH: ("perf",),
        Place.SITE: ("kprobe",),
    }
    hooks = {hook for specs in PROBES.values() for spec in specs for hook in spec.hooks}
    for hook in hooks:
        for mechanism in mechanisms.get(hook.place, ("kprobe", "fentry")):
            assert way_instructions(hook, mechanism) > 0
    lock = Hook(Place.TRACEPOINT, "mmap_lock_released", "body")
    assert way_instructions(lock, "raw_tracepoint") == 343
