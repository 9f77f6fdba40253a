"""Probes that this kernel attaches and does not run: found before the start, and in mid-run."""

import os
import subprocess
from pathlib import Path

import pytest

from ksmtrace import doctor
from ksmtrace.events import EventKind, Gauge
from ksmtrace.events.switches import SWITCHES
from ksmtrace.kernel.silence import kprobes_fire, switched_off
from ksmtrace.sources.live.opening import LiveOptions, plan_of
from support.command import assert_one_line, ksmtrace
from support.tracing import trace

pytestmark = pytest.mark.guest

FTRACE, KPROBES = SWITCHES[Gauge.FTRACE_ENABLED], SWITCHES[Gauge.KPROBES_ENABLED]


@pytest.fixture(params=[FTRACE, KPROBES], ids=["ftrace_enabled", "kprobes/enabled"])
def switch(request):
    """A switch, on; and on again afterwards."""
    if not os.path.ismount("/sys/kernel/debug"):
        subprocess.run(["mount", "-t", "debugfs", "none", "/sys/kernel/debug"], check=True)
    yield request.param
    turn(request.param, 1)


def turn(switch, position):
    (Path("/") / switch.file).write_text(f"{position}\n")


def test_a_switch_that_is_off_is_named_before_anything_is_attached(switch):
    """And our own kprobe is seen not to fire, whatever the reason."""
    assert kprobes_fire() is True
    turn(switch, 0)
    assert kprobes_fire() is False
    assert switched_off("kprobe") is switch
    report = doctor.examine()
    assert switch.setting in report.survey.mechanisms["kprobe"].sentence
    assert (switch.remedy,) in [one.commands for one in report.improvements]
    if switch is KPROBES:
        plan = plan_of(LiveOptions(), "")
        assert plan.mechanisms >= {"fentry"}
        assert "kprobe" not in plan.mechanisms
    elif b"btf_trace_ksm_merge" not in Path("/sys/kernel/btf/vmlinux").read_bytes():
        ran = ksmtrace("live", "--duration", "1")
        assert_one_line(ran, 3, "kernel.ftrace_enabled is 0")
    else:
        assert plan_of(LiveOptions(), "").tier == "tracepoint"
    turn(switch, 1)
    assert switched_off("kprobe") is None


def test_a_switch_turned_in_mid_run_costs_what_it_silences_and_that_is_said(ksm, processes, switch):
    """Pages that merge meanwhile are counted as lost, and events come again afterwards."""

    def pages(name, region, content):
        processes.do(name, "map", region=region, pages=100)
        processes.do(name, "fill", region=region, content=content)
        processes.do(name, "mergeable", region=region)

    def workload():
        for name in ("one", "two"):
            processes.spawn(name)
            pages(name, "before", "unique:1")
        ksm.start_stepping()
        ksm.scan(3)
        turn(switch, 0)
        for name in ("one", "two"):
            pages(name, "silent", "unique:1001")
        ksm.scan(3)

    document = trace(workload, interval=0.5, probes="kprobe")
    assert document["tier"] in ("full", "partial")
    silent = document["silent"]
    appends = silent[EventKind.STABLE_APPEND.name.lower()]
    assert switch.setting in appends["reason"]
    assert not appends["over"]
    assert 0 < appends["missed"] <= 200
    assert document["events"]["lost"] >= appends["missed"]
    assert document["events"]["by_kind"]["STABLE_APPEND"] >= 200
    for name in ("stable_append", "break_cow", "try_to_merge_one_page", "cmp_and_merge_page"):
        assert document["probes"][name]["exactness"] == "absent", name
        assert switch.setting in document["probes"][name]["note"]
    assert not document["reconstruction"]["complete"]
