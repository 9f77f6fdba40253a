"""5,000 processes in as many cgroups come and go for an hour: series and memory do not grow."""

import gc
import tracemalloc

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from ksmtrace import hookimpl
from ksmtrace.events import EventBatch, EventKind, Flag, ProcessText, empty_records
from ksmtrace.model.processes import MOST_EXITED
from ksmtrace.plugins import BUILTINS, Role
from support.runs import EMPTY, plugin, runner
from support.streams import events, sample

ALIVE = 5000
STEPS = 30
STEP_NS = 120 * 10**9
CHANGING = 500
"""Processes that exit at each step, and as many that come."""

GROUPS = 20
MOST_SERIES = 10 * (GROUPS + 1) + 2 + 2 * len(BUILTINS) + 400
"""As docs/PROMETHEUS.md has it."""

ANALYZERS = [b.name for b in BUILTINS if b.role is Role.ANALYZER]


def test_the_formula_is_the_documented_one(repository):
    text = (repository / "docs/PROMETHEUS.md").read_text()
    assert "10 (N + 1) + 2 for groups, 2 for each plugin, 400 for all else" in text
    assert MOST_SERIES <= 650
    assert "plugins that come with ksmtrace, 650" in text


class Scraper:
    """Reads /metrics after each step.

    Keeps the most series and, at half time and at the end, the memory taken.
    """

    def __init__(self):
        self.series = []
        self.cgroups = set()
        self.memory = {}

    def collect(self):
        return self._metrics

    @hookimpl
    def ksmtrace_publish(self, snapshot):
        self._metrics = snapshot.metrics
        registry = CollectorRegistry()
        registry.register(self)
        lines = generate_latest(registry).decode().splitlines()
        self.series.append(sum(not line.startswith("#") for line in lines))
        self.cgroups |= {
            s.labels["cgroup"] for f in snapshot.metrics for s in f.samples if "cgroup" in s.labels
        }
        self._metrics = ()
        if len(self.series) in (STEPS // 2, STEPS):
            gc.collect()
            self.memory[len(self.series)] = tracemalloc.get_traced_memory()[0]


def _hour():
    """A batch for each step: the oldest exit, others come and are scanned, counters are read."""
    came = 0
    for step in range(STEPS):
        gone = np.arange(CHANGING) + came - ALIVE + 1
        came, before = came + (CHANGING if step else ALIVE), came
        batch = np.concatenate(
            [
                _exits(gone) if step else events(*EMPTY).events,
                _mark(EventKind.SCAN_START),
                _lives(np.arange(before + 1, came + 1)),
                _mark(EventKind.SCAN_STOP),
                events(*sample(ksmd_cpu_ns=step * 10**9, full_scans=step)).events,
            ]
        )
        batch["ts"] = step * STEP_NS + np.arange(len(batch))
        yield EventBatch(batch)


def _mark(kind):
    records = empty_records(1)
    records["kind"] = kind
    return records


def _lives(mms):
    """Processes that register, say who they are, and have two pages merged with each other."""
    records = empty_records(7 * len(mms)).reshape(len(mms), 7)
    records["mm"] = mms[:, None]
    records["kind"] = [
        *(EventKind.MM_ENTER, EventKind.PROCESS, EventKind.PROCESS_TEXT),
        *(EventKind.CMP_AND_MERGE_PAGE, EventKind.STABLE_APPEND) * 2,
    ]
    records["aux"][:, 1] = 10**6 + mms
    cgroups = b"".join((b"/s/run-%d.scope" % mm).ljust(24, b"\0") for mm in mms.tolist())
    words = np.frombuffer(cgroups, "<u8").reshape(len(mms), 3)
    records["address"][:, 2] = ProcessText.CGROUP << 32
    for column, word in zip(("pfn", "rmap_item", "aux"), words.T, strict=True):
        records[column][:, 2] = word
    records["rmap_item"][:, 3:] = (mms[:, None] << 12) + [64, 64, 128, 128]
    records["aux"][:, 3:] = _nodes(mms)[:, None]
    records["address"][:, 3:] = [4096, 4096, 8192, 8192]
    records["flags"][:, 3:] = [Flag.STABLE_AFTER, Flag.NEW_NODE, Flag.STABLE_AFTER, 0]
    return records.ravel()


def _exits(mms):
    records = empty_records(4 * len(mms)).reshape(len(mms), 4)
    records["mm"] = mms[:, None]
    removal = EventKind.REMOVE_RMAP_ITEM
    records["kind"] = [EventKind.MM_EXIT, removal, removal, EventKind.REMOVE_STABLE_NODE]
    records["rmap_item"][:, 1:3] = (mms[:, None] << 12) + [64, 128]
    records["flags"][:, 1:3] = Flag.STABLE_BEFORE | Flag.FREED
    records["aux"][:, 3] = _nodes(mms)
    return records.ravel()


def _nodes(mms):
    return (mms << 12) + 1


@pytest.mark.slow
def test_an_hour_of_processes_coming_and_going():
    scraper = Scraper()
    plugins = {name: plugin(name) for name in ANALYZERS}
    run = runner([], {**plugins, "scraper": scraper}, groups=GROUPS)
    run.source.batches = _hour
    tracemalloc.start()
    try:
        found = run.run().document
    finally:
        tracemalloc.stop()
    lived = ALIVE + (STEPS - 1) * CHANGING
    assert found["events"]["by_kind"]["MM_ENTER"] == lived
    assert len(scraper.series) == STEPS + 1
    assert max(scraper.series) <= MOST_SERIES
    # the figures are of those processes, and the places are all taken
    groups = found["analyzers"]["groups"]
    assert len(groups["groups"]) == GROUPS
    assert sum(g["merged_pages"] for g in (*groups["groups"], groups["other"])) == 2 * lived
    assert 0 < groups["evicted"] <= GROUPS * STEPS
    assert len(scraper.cgroups) == 1 + GROUPS + groups["evicted"]
    # what is kept is of the living, and of so many of the dead
    assert len(run.state.reconstruction.processes.known()) <= ALIVE + MOST_EXITED
    assert run.state.reconstruction.rmap_items == 2 * ALIVE
    half, end = scraper.memory.values()
    assert end < 1.1 * half
