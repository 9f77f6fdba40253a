"""COW faults by windows against every fault of the same run, by a second source."""

import json
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from ksmtrace.capture.reader import open_capture
from ksmtrace.events import EventKind, Flag, Gauge
from ksmtrace.model.log_histogram import LINEAR, LogHistogram
from ksmtrace.sources.live import windows
from ksmtrace.sources.live.opening import LiveOptions
from ksmtrace.sources.live.source import LiveSource
from support.command import KSMTRACE
from support.copies import written
from support.tracing import trace
from support.truth import Truth

pytestmark = pytest.mark.guest

PAGES = 256
MOST_ROUNDS = 200
SHARE = 0.3
READ_SEARCH, SYS_ADMIN, PERFMON, BPF = 1 << 2, 1 << 21, 1 << 38, 1 << 39


class Everything:
    """Every event of what happens meanwhile, by a source of its own; and how often a window was
    open."""

    def __enter__(self):
        self._source = LiveSource.open(LiveOptions(cow=1.0, give_up=900.0))
        self._found = []
        self._thread = threading.Thread(target=self._read)
        self._thread.start()
        return self

    def _read(self):
        self._found.extend(batch.events.copy() for batch in self._source.batches())

    def __exit__(self, *error):
        self._source.stop()
        self._thread.join()
        self._source.close()
        self.events = np.concatenate(self._found)


class Seen:
    """What the windows of a run have shown so far."""

    def __init__(self):
        self.closed = self.faults = 0

    def look(self, batch):
        marks = batch.of(EventKind.SAMPLE)
        marks = marks[marks["address"] == Gauge.FAULT_PROBES]
        self.closed += np.count_nonzero(marks["aux"] == 0)
        self.faults += len(users(batch.of(EventKind.COW_FAULT)))

    def enough(self):
        return self.closed > 1 and self.faults > 20


def copying(ksm, processes, enough):
    """Two processes with equal pages, merged, written to and merged again, in as many rounds as
    the windows, which open at random, need; some are unmerged at the end."""
    for name in ("writer", "other"):
        processes.spawn(name)
        processes.do(name, "map", region="r", pages=PAGES)
        processes.do(name, "fill", region="r", content="unique:5")
        processes.do(name, "mergeable", region="r")
    ksm.scan(3)
    for beat in range(MOST_ROUNDS):
        if beat >= 4 and enough():
            break
        for name, first in (("writer", 20 * (beat % 4)), ("other", 50)):
            processes.do(name, "poke", region="r", first=first, pages=100, offset=3, value=beat + 1)
        ksm.scan(1)
        processes.do("writer", "fill", region="r", content="unique:5")
        processes.do("other", "fill", region="r", content="unique:5")
        ksm.scan(3)
    if ksm.has("smart_scan"):
        ksm.write("smart_scan", 0)  # it skips pages that are as old as that, merged or not
        ksm.scan(3)
    processes.do("other", "unmergeable", region="r", first=200, pages=10)
    ksm.scan(1)


def users(faults):
    return faults[faults["flags"] & Flag.BY_KERNEL == 0]


def test_windows_against_every_fault(ksm, processes, monkeypatch):
    """Who wrote where is what every fault says; what a window shows is what happened in it."""
    monkeypatch.setattr(windows, "PERIOD_SECONDS", 1.0)
    ksm.start_stepping()
    seen = Seen()
    out = Path("/dev/shm/windows.ksmtrace")
    with Truth() as truth, Everything() as everything:
        document = trace(
            lambda: copying(ksm, processes, seen.enough),
            seen=seen.look, record=str(out), cow=SHARE,
        )  # fmt: skip
        counted = truth.read()
    with open_capture(str(out)) as capture:
        session = capture.session
        sampled = np.concatenate([batch.events for batch in capture.batches()])
    out.unlink()
    told = document["analyzers"]["cow"]
    every = everything.events
    faults = every[every["kind"] == EventKind.COW_FAULT]

    assert session.probes[EventKind.COW_FAULT].share == SHARE
    assert session.derives_writes
    assert document["tier"] == "full"
    expected = written(every)
    print(document["kernel"]["release"], session.probes[EventKind.COW_FAULT].via)
    print(told["user_pages"], expected.total(), counted, told["unplaced_pages"], len(faults))
    assert told["user_pages"] == expected.total() > 1000
    by_range = Counter()
    for (mm, address), count in expected.items():
        by_range[f"{mm:#x}", f"{address >> 21 << 21:#x}"] += count
    found = {(one["mm"], one["start"]): one["user_pages"] for one in told["ranges"]}
    assert found == by_range
    assert told["written_merge_pages"] == expected.total()
    if "cow_ksm" in counted:  # since 5.19
        assert told["copied_pages"] == counted["cow_ksm"] == len(faults)
        assert told["unplaced_pages"] == len(faults) - expected.total()
        assert told["unplaced_pages"] >= 10  # unmerged at the end

    shown = sampled[sampled["kind"] == EventKind.COW_FAULT]
    marks = sampled[
        (sampled["kind"] == EventKind.SAMPLE) & (sampled["address"] == Gauge.FAULT_PROBES)
    ]
    assert marks["aux"].tolist() == [1, 0] * (len(marks) // 2)
    begins, ends = marks["ts"][::2], marks["ts"][1::2]
    sample = told["fault_sample"]
    print(sample, len(shown), "sampled of", len(faults), "in windows of", (ends - begins) / 1e9)
    assert sample["windows"] == len(begins) > 1
    assert sample["faults"] == len(users(shown)) > 20
    keys = [
        Counter(zip(one["mm"].tolist(), one["address"].tolist(), strict=True))
        for one in (shown, faults)
    ]
    assert not keys[0] - keys[1], "a fault was seen that was none"
    inside = np.zeros(len(faults), dtype=bool)
    for begin, end in zip(begins, ends, strict=True):
        # one that began or returned on the very edge may be in either stream alone
        inside |= (faults["ts"] > begin) & (faults["ts"] + faults["aux"] < end)
    whole = faults[inside]
    missed = Counter(zip(whole["mm"].tolist(), whole["address"].tolist(), strict=True)) - keys[0]
    assert not missed, "a window did not show what happened in it"
    exact, chosen = LogHistogram(LINEAR), LogHistogram(LINEAR)
    exact.add(users(faults)["aux"])
    chosen.add(users(whole)["aux"])
    print("exact", exact.quantile_bound(0.5), exact.quantile_bound(0.99))
    print("in windows", chosen.quantile_bound(0.5), chosen.quantile_bound(0.99))
    # both probes are attached in a window: a fault takes longer by both than by one
    assert sample["p50_low_seconds"] < told["fault_p50_seconds"] <= sample["p50_high_seconds"]


def effective(task):
    for line in (task / "status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    raise AssertionError(f"no capabilities in {task}")


def test_windows_go_on_with_few_capabilities(ksm):
    """By fentry, CAP_BPF and CAP_PERFMON are enough, whatever perf_event_paranoid is."""
    command = [KSMTRACE, "live", "--once", "--json", "--duration", "12", "--drop-capabilities"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        main = Path(f"/proc/{run.pid}/task/{run.pid}")
        while run.poll() is None and effective(main) & SYS_ADMIN:
            time.sleep(0.1)
        time.sleep(1)
        left = {effective(task) for task in Path(f"/proc/{run.pid}/task").iterdir()}
        out, err = run.communicate(timeout=300)
    assert run.returncode == 0, err
    assert left == {READ_SEARCH | PERFMON | BPF}
    document = json.loads(out)
    assert document["probes"]["cow_fault"]["exactness"] == "sampled"
    assert document["probes"]["cow_fault"]["share"] == 0.02
    print(document["analyzers"]["cow"]["fault_sample"], err)
    assert document["analyzers"]["cow"]["fault_sample"]["windows"] >= 1
    assert "no further windows" not in err
