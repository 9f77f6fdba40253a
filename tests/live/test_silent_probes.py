"""Probes that this kernel attaches and does not run: found before the start, and in mid-run."""

import os
import subprocess
import threading
from pathlib import Path

import pytest

from ksmtrace.errors import HostError
from ksmtrace.events import EventKind, Gauge
from ksmtrace.events.switches import SWITCHES
from ksmtrace.kernel.bpf import RETURN_0, load_kprobe
from ksmtrace.kernel.btf import Btf
from ksmtrace.kernel.kprobe import attach_kprobe
from ksmtrace.kernel.silence import kprobes_fire
from ksmtrace.kernel.switches import switched_off
from ksmtrace.sources.live.opening import LiveOptions, plan_of
from support.tracing import trace

pytestmark = pytest.mark.guest

FTRACE, KPROBES = SWITCHES[Gauge.FTRACE_ENABLED], SWITCHES[Gauge.KPROBES_ENABLED]
PATIENCE_SECONDS = 300


@pytest.fixture(params=[KPROBES, FTRACE], ids=["kprobes/enabled", "ftrace_enabled"])
def switch(request):
    """A switch, on; and on again afterwards."""
    if not os.path.ismount("/sys/kernel/debug"):
        subprocess.run(["mount", "-t", "debugfs", "none", "/sys/kernel/debug"], check=True)
    yield request.param
    turn(request.param, 1)
    assert kprobes_fire() is True


def turn(switch, position):
    (Path("/") / switch.file).write_text(f"{position}\n")


def has_tracepoints():
    btf = Btf()
    try:
        return btf.has_typedef("btf_trace_ksm_merge_with_ksm_page")
    finally:
        btf.close()


def test_a_switch_that_is_off_is_named_before_anything_is_attached(switch):
    """And our own kprobe is seen not to fire, whatever the reason."""
    assert kprobes_fire() is True
    turn(switch, 0)
    assert kprobes_fire() is False
    assert switched_off("kprobe") is switch
    if switch is KPROBES:
        mechanisms = plan_of(LiveOptions(), "").mechanisms
        assert "fentry" in mechanisms
        assert "kprobe" not in mechanisms
    elif has_tracepoints():
        assert plan_of(LiveOptions(), "").tier == "tracepoint"
    else:
        with pytest.raises(HostError, match=r"kernel\.ftrace_enabled is 0"):
            plan_of(LiveOptions(), "")
    turn(switch, 1)
    assert switched_off("kprobe") is None


@pytest.mark.parametrize("switch", [FTRACE], indirect=True)
def test_nothing_is_attached_while_ftrace_is_off(switch):
    """A window of `--cow` may be due then. Later probes are attached as ever."""
    program = load_kprobe(RETURN_0)
    try:
        turn(switch, 0)
        for at_return in (False, True):
            with pytest.raises(OSError, match=r"kernel\.ftrace_enabled is 0"):
                attach_kprobe(program, "do_wp_page", at_return=at_return)
        turn(switch, 1)
        assert kprobes_fire() is True
    finally:
        os.close(program)


class Readings:
    """Counts readings at which a switch was off, for a workload to wait for."""

    def __init__(self, switch):
        (self._gauge,) = [gauge for gauge, one in SWITCHES.items() if one is switch]
        self._off = 0
        self._changed = threading.Condition()

    def look(self, batch):
        samples = batch.of(EventKind.SAMPLE)
        positions = samples["aux"][samples["address"] == self._gauge]
        with self._changed:
            self._off += int((positions == 0).sum())
            self._changed.notify_all()

    def wait(self, more):
        with self._changed:
            wanted = self._off + more
            assert self._changed.wait_for(lambda: self._off >= wanted, PATIENCE_SECONDS)


def test_a_switch_turned_in_mid_run_costs_what_it_silences_and_that_is_said(ksm, processes, switch):
    """Pages that merge meanwhile are counted as lost. It is on again before the probes are let go
    of: else 6.1 attaches no further ones."""
    readings = Readings(switch)

    def pages(region, content):
        for name in ("one", "two"):
            processes.do(name, "map", region=region, pages=100)
            processes.do(name, "fill", region=region, content=content)
            processes.do(name, "mergeable", region=region)
        ksm.scan(3)

    def workload():
        for name in ("one", "two"):
            processes.spawn(name)
        ksm.start_stepping()
        pages("before", "unique:1")
        turn(switch, 0)
        try:
            readings.wait(1)
            pages("silent", "unique:1001")
            readings.wait(2)
        finally:
            turn(switch, 1)

    document = trace(workload, seen=readings.look, interval=0.2, probes="kprobe")
    appends = document["silent"]["stable_append"]
    assert switch.setting in appends["reason"]
    assert not appends["over"]
    assert 0 < appends["missed"] <= 200
    assert document["events"]["lost"] >= appends["missed"]
    assert document["events"]["by_kind"]["STABLE_APPEND"] == 200
    for name in ("stable_append", "break_cow", "try_to_merge_one_page", "cmp_and_merge_page"):
        assert document["probes"][name]["exactness"] == "absent", name
        assert switch.setting in document["probes"][name]["note"]
    assert not document["reconstruction"]["complete"]
