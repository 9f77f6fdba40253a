"""The balance sheet and the scan's cost against /proc, ksmd's clock and the script's own count."""

import json
import os
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from ksmtrace.capture.reader import open_capture
from ksmtrace.events import EventKind
from ksmtrace.kernel.host import find_ksmd
from ksmtrace.resources import bpf_directory
from support.tracing import trace
from support.truth import Truth

pytestmark = pytest.mark.guest

PAGE = 4096
PASS_TEXT = rb"""
BPF_ARRAY(times, u64, 128);
BPF_ARRAY(used, u32, 1);
static __always_inline void note(void)
{
    int zero = 0;
    u32 *count = used.lookup(&zero);
    if (!count)
        return;
    int at = (*count)++;
    u64 now = bpf_ktime_get_ns();
    times.update(&at, &now);
}
int started(void *ctx) { note(); return 0; }
int stopped(void *ctx) { note(); return 0; }
"""
"""Times at which passes begin and end, by the kernel's own tracepoints."""


def _ksmd_cpu_ns():
    return int(Path(f"/proc/{find_ksmd()}/schedstat").read_text().split()[0])


def _of_process(pid):
    """What the kernel counts for a process, by its own names; nothing before 5.19."""
    found = {}
    if Path("/proc/self/ksm_merging_pages").exists():
        found["ksm_merging_pages"] = int(Path(f"/proc/{pid}/ksm_merging_pages").read_text())
    path = Path(f"/proc/{pid}/ksm_stat")
    for line in path.read_text().splitlines() if path.exists() else ():
        name, _, value = line.partition(" ")
        if value.lstrip("-").isdecimal():
            found[name] = int(value)
    return found


def _share(do, name, own):
    """120 pages that all three have, 50 that alpha and beta have, 70 of one's own, 23 of zeroes."""
    pairs = "unique:77" if name != "gamma" else "unique:78"
    for region, pages, content in (
        ("all", 120, "twin:1"),
        ("pairs", 50, pairs),
        ("own", 70, f"unique:{own}"),
        ("zero", 23, "zero"),
    ):
        do(name, "map", region=region, pages=pages)
        do(name, "fill", region=region, content=content)
        do(name, "mergeable", region=region)


class Script:
    """Three processes, one more that exits; 17 writes and 20 unmerged pages. Keeps the kernel's
    counters at its end."""

    def __init__(self, ksm, processes):
        self._ksm, self._processes = ksm, processes
        self.walls = []
        self.truth = {}

    def scan(self, passes):
        for _ in range(passes):
            before = time.monotonic_ns()
            self._ksm.scan()
            self.walls.append((before, time.monotonic_ns()))

    def __call__(self):
        ksm, do = self._ksm, self._processes.do
        began = _ksmd_cpu_ns()
        for own, name in enumerate(("alpha", "beta", "gamma"), start=1):
            self._processes.spawn(name)
            _share(do, name, own)
        self._processes.spawn("short")
        do("short", "map", region="r", pages=40)
        do("short", "fill", region="r", content="twin:1")
        do("short", "mergeable", region="r")
        self.scan(4)
        do("alpha", "poke", region="pairs", first=0, pages=17, offset=64, value=200)
        do("gamma", "unmergeable", region="all", first=0, pages=20)
        self._processes.exit("short")
        self.scan(5)
        self.truth = {
            "ksmd": _ksmd_cpu_ns() - began,
            "of": {name: _of_process(pid) for name, pid in self._processes.pids.items()},
            "pages_shared": ksm.counter("pages_shared"),
            "pages_sharing": ksm.counter("pages_sharing"),
            "general_profit": ksm.counter("general_profit") if ksm.has("general_profit") else None,
        }


def _prepare(ksm):
    ksm.start_stepping()
    ksm.write("max_page_sharing", 1000)
    ksm.write("use_zero_pages", 1)
    if ksm.has("smart_scan"):
        ksm.write("smart_scan", 0)


class Compared:
    """A table of figure, truth and difference."""

    def __init__(self):
        self.rows = []

    def add(self, name, ours, truth):
        if truth is not None:
            self.rows.append((name, ours, truth, ours - truth))

    def show(self):
        for name, ours, truth, difference in self.rows:
            print(f"{name:<34}{ours:>16,}{truth:>16,}{difference:>8,}")
        assert {row[0]: row[3] for row in self.rows if row[3]} == {}


class Tracepoints:
    """When passes begin and end by the kernel's own tracepoints, in a context; nothing before 6.4,
    which has none."""

    def __enter__(self):
        from bcc import BPF

        with bpf_directory() as directory:
            os.environ["BCC_KERNEL_SOURCE"] = str(directory)
            self._program = BPF(text=PASS_TEXT)
            del os.environ["BCC_KERNEL_SOURCE"]
        if Path("/sys/kernel/tracing/events/ksm").exists():
            self._program.attach_raw_tracepoint(tp=b"ksm_start_scan", fn_name=b"started")
            self._program.attach_raw_tracepoint(tp=b"ksm_stop_scan", fn_name=b"stopped")
        return self

    def read(self):
        """Nanoseconds, shape (n, 2)."""
        entries = sorted(self._program[b"times"].items(), key=lambda entry: entry[0].value)
        noted = [value.value for _, value in entries if value.value]
        return np.array(noted, dtype=np.int64).reshape(-1, 2)

    def __exit__(self, *error):
        self._program.cleanup()


def test_every_figure_is_the_kernels_own(ksm, processes):
    """One run, against /proc, sysfs, schedstat, cow_ksm, the tracepoints of passes, and the
    script."""
    _prepare(ksm)
    script, out = Script(ksm, processes), Path("/dev/shm/balance.ksmtrace")
    with Truth() as counting, Tracepoints() as tracepoints:
        document = trace(script, record=str(out))
        counted, theirs = counting.read(), tracepoints.read()
    print(document["kernel"]["release"], document["tier"])
    _against_the_kernel(document, script, counted, processes)
    _against_the_script(document)
    _passes(document, script, out, theirs)
    out.unlink()


def _against_the_kernel(document, script, counted, processes):
    """Per process against /proc, totals against sysfs, ksmd against schedstat, breaks against
    cow_ksm and the script."""
    balance, truth = document["analyzers"]["balance"], script.truth
    rows, table = {row["comm"]: row for row in balance["processes"]}, Compared()
    assert balance["attribution"] == "exact"
    assert {rows[name]["pid"] for name in truth["of"]} == set(processes.pids.values())
    for name, kernel in truth["of"].items():
        row = rows[name]
        for ours, theirs in (
            ("merged_pages", "ksm_merging_pages"),
            ("kernel_merging_pages", "ksm_merging_pages"),
            ("rmap_items", "ksm_rmap_items"),
            ("zero_pages", "ksm_zero_pages"),
            ("kernel_profit_bytes", "ksm_process_profit"),
        ):
            table.add(f"{name}: {ours}", row[ours], kernel.get(theirs))
        table.add(f"{name}: zero_pages_placed", row["zero_pages_placed"], 23)
    everyone = [*rows.values(), balance["exited"]]
    merged = truth["pages_shared"] + truth["pages_sharing"]
    table.add("sum of merged_pages", sum(r["merged_pages"] for r in everyone), merged)
    table.add(
        "sum of saved_bytes", sum(r["saved_bytes"] for r in everyone), truth["pages_sharing"] * PAGE
    )
    table.add("total saved_bytes", balance["total"]["saved_bytes"], truth["pages_sharing"] * PAGE)
    table.add(
        "total general_profit_bytes", balance["general_profit_bytes"], truth["general_profit"]
    )
    if truth["general_profit"] is not None:
        excess = balance["process_profit_excess_bytes"]
        table.add("process_profit_excess_bytes", excess, truth["pages_shared"] * PAGE)
    table.add("ksmd ns", round(balance["total"]["ksmd_cpu_seconds"] * 1e9), truth["ksmd"])
    total = balance["total"]
    table.add(
        "breaks in cow_ksm",
        total["user_break_pages"] + total["kernel_break_pages"],
        counted.get("cow_ksm"),
    )
    table.add("examined", total["examined_pages"], counted.get("pages_scanned"))
    for name, by_user, by_kernel in (("alpha", 17, 0), ("beta", 0, 0), ("gamma", 0, 20)):
        table.add(f"{name}: user_break_pages", rows[name]["user_break_pages"], by_user)
        table.add(f"{name}: kernel_break_pages", rows[name]["kernel_break_pages"], by_kernel)
    table.show()
    assert rows["alpha"]["user_break_seconds"] > 0
    assert rows["gamma"]["kernel_break_seconds"] > 0


def _against_the_script(document):
    """340 pages of one content, and 33 pairs: (n - 1) / n for each, to the byte."""
    balance = document["analyzers"]["balance"]
    rows = {row["comm"]: row for row in balance["processes"]}
    each, half = Fraction(339, 340), Fraction(1, 2)
    for name, pages in (
        ("alpha", 120 * each + 33 * half),
        ("beta", 120 * each + 33 * half),
        ("gamma", 100 * each),
    ):
        print(f"{name}: {rows[name]['saved_bytes']} bytes, by the script {float(pages * PAGE):.2f}")
        assert abs(rows[name]["saved_bytes"] - pages * PAGE) < 1
    assert balance["total"]["saved_bytes"] == (339 + 33) * PAGE
    # a pass after its exit nothing of the fourth is left but what it has cost
    assert balance["exited"]["saved_bytes"] == balance["exited"]["rmap_items"] == 0
    assert balance["exited"]["joined_pages"] == 40
    assert balance["exited"]["examined_pages"] == 4 * 40
    parts = [*rows.values(), balance["exited"]]
    shared_out = sum(round(row["ksmd_cpu_seconds"] * 1e9) for row in parts)
    worked = round(balance["total"]["ksmd_cpu_seconds"] * 1e9)
    assert 0 < shared_out <= worked
    cost = document["analyzers"]["scan_cost"]
    assert cost["coverage_ratio"] == 1
    assert cost["settled"]
    assert cost["last_pass_examined_pages"] == sum(row["rmap_items"] for row in rows.values())
    json.dumps(document)


def _passes(document, script, out, theirs):
    """Each pass lies within the script's own clock, and agrees with the tracepoints of its
    beginning and its end."""
    with open_capture(str(out)) as capture:
        marks = np.concatenate(
            [b.of(EventKind.SCAN_START, EventKind.SCAN_STOP) for b in capture.batches()]
        )
    ours = marks["ts"].astype(np.int64).reshape(-1, 2)
    assert len(ours) == len(script.walls) == 9
    for (started, stopped), (before, after) in zip(ours.tolist(), script.walls, strict=True):
        assert before < started < stopped < after
    cost = document["analyzers"]["scan_cost"]
    lasted = np.diff(ours, axis=1).ravel()
    assert cost["last_pass_seconds"] == lasted[-1] / 1e9
    assert cost["mean_pass_seconds"] == pytest.approx(lasted.sum() / 9e9)
    assert sum(cost["pass_seconds_histogram"].values()) == 9
    print(f"{document['kernel']['release']}: mean pass {lasted.mean() / 1e6:.3f} ms", end="")
    # A gathered pass begins with ksmd's batch, an intercepted one at its first page.
    gathered = "kthread_should_stop" in document["probes"]["scan_start"]["via"]
    if len(theirs):
        assert len(theirs) == len(ours)
        for (started, stopped), (first, last) in zip(ours.tolist(), theirs.tolist(), strict=True):
            assert started <= first if gathered else first <= started
            assert max(first, started) <= last <= stopped
        print(f", between tracepoints {np.diff(theirs, axis=1).mean() / 1e6:.3f} ms", end="")
    print()
