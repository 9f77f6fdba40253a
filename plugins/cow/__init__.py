"""Analyzer of copies: who breaks KSM pages, how fast, at what cost, and how long merges last."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ksmtrace import hookimpl
from ksmtrace.events import EventBatch, EventKind, Gauge
from ksmtrace.events import numbers as kinds
from ksmtrace.events.readings import Reading
from ksmtrace.figures import known
from ksmtrace.model.ranges import RANGE_SHIFT
from ksmtrace.model.reconstruction import Reconstruction
from ksmtrace.plugins.cow.breaks import Breaks, Count, ranked
from ksmtrace.plugins.cow.fault_sample import FaultSample
from ksmtrace.plugins.cow.figures import FIGURES
from ksmtrace.plugins.cow.merges import Merges
from ksmtrace.plugins.cow.metrics import metrics
from ksmtrace.plugins.cow.storms import Storm
from ksmtrace.plugins.cow.view import panel, section
from ksmtrace.section import Section
from ksmtrace.session import Knowledge, Session

if TYPE_CHECKING:
    from prometheus_client.core import Metric
    from rich.panel import Panel

TOP = 10
"""Processes and ranges named in the JSON document."""


class Plugin:
    """KSM pages that are copied: as the process writes (user), or broken by the kernel (kernel).

    JSON: `FIGURES`.
    """

    def __init__(self) -> None:
        self._reconstruction: Reconstruction | None = None
        self._breaks = Breaks()
        self._merges = Merges(self._regretted)
        self._sample = FaultSample()
        self._undone = 0
        self._copied: tuple[int, int] | None = None
        self._last_ns = 0

    @hookimpl
    def ksmtrace_batch(
        self, batch: EventBatch, reconstruction: Reconstruction, session: Session
    ) -> None:
        """Count what was copied, and follow merges to their end."""
        self._reconstruction = reconstruction
        start = session.monotonic_ns
        copies = reconstruction.copies
        if not batch.only_counters:
            self._breaks.time(batch)
        if len(copies.rows):
            self._breaks.apply(batch, copies, reconstruction.processes, start)
        self._merges.apply(batch, reconstruction, copies)
        self._undone += batch.count(kinds.BREAK_COW)
        if session.faults_by_windows:
            self._sample.apply(batch)
        self._last_ns = max(self._last_ns, int(batch.events["ts"].max(initial=0)))

    @hookimpl
    def ksmtrace_reading(self, reading: Reading) -> None:
        """Take in the kernel's own count of copies."""
        if Gauge.COW_KSM in reading.values:
            now = reading.values[Gauge.COW_KSM]
            self._copied = (self._copied or (now, now))[0], now

    def _regretted(self, mm: int, pages: int) -> None:
        assert self._reconstruction is not None, "a batch is being followed"
        self._breaks.of(self._reconstruction.processes.of(mm)).regretted += pages

    @hookimpl
    def ksmtrace_scan_end(self) -> None:
        """Bound what is kept."""
        self._breaks.end_of_pass()
        self._merges.end_of_pass()

    @hookimpl
    def ksmtrace_analysis(self, session: Session) -> dict[str, Any]:
        """The figures of `FIGURES`."""
        analysis = {
            **self._counts(session),
            **self._faults(session),
            **self._storms(),
            **self._ends(),
            **self._rates(session),
            **self._by_process(),
            "ranges": self._ranges(),
        }
        return known(FIGURES, session, analysis)

    def _counts(self, session: Session) -> dict[str, Any]:
        every = self._breaks.every
        copied = None if self._copied is None else self._copied[1] - self._copied[0]
        unplaced = None
        if copied is not None and session.derives_writes:
            unplaced = copied - every.user - self._undone
        return {
            "user_pages": every.user,
            "kernel_pages": every.kernel,
            "copied_pages": copied,
            "unplaced_pages": unplaced,
        }

    def _faults(self, session: Session) -> dict[str, Any]:
        latency = self._breaks.latency
        timed = len(latency) > 0
        return {
            "fault_p50_seconds": latency.quantile_bound(0.5),
            "fault_p99_seconds": latency.quantile_bound(0.99),
            "fault_longest_seconds": self._breaks.longest_ns / 1e9 if timed else None,
            "fault_total_seconds": latency.sum_ns / 1e9 if timed else None,
            "fault_histogram": [list(bucket) for bucket in latency.filled()],
            "fault_sample": self._sample.to_json(session, latency),
        }

    def _ends(self) -> dict[str, Any]:
        merges, broken = self._merges, len(self._merges.broken)
        half = None
        if self._reconstruction is not None:
            half = merges.half_life(self._reconstruction, self._last_ns)
        return {
            "written_merge_pages": broken,
            "regret_pages": merges.regrets,
            "regret_ratio": merges.regrets / broken if broken else None,
            "unknown_age_pages": merges.unknown,
            "pending_pages": merges.pending,
            "half_life_seconds": half,
        }

    def _storms(self) -> dict[str, Any]:
        seen, last = self._breaks.storms.latest()
        return {"storms": seen, "last_storms": [_storm(storm) for storm in last]}

    def _rates(self, session: Session) -> dict[str, Any]:
        rates = self._breaks.rates
        rates.reach(max(0, self._last_ns - session.monotonic_ns) // 10**9)
        return {
            "interval_seconds": rates.interval_seconds,
            "user_per_second": rates.per_second("user"),
            "kernel_per_second": rates.per_second("kernel"),
        }

    def _by_process(self) -> dict[str, Any]:
        counts = self._breaks.by_process.values()
        alive = ranked(c for c in counts if c.process is not None and not c.process.exited)
        exited, other = Count(), Count()
        exited.take(self._breaks.exited)
        other.take(self._breaks.others)
        for count in (c for c in counts if c.process is not None and c.process.exited):
            exited.take(count)
        for count in alive[TOP:]:
            other.take(count)
        listed = [
            {**c.process.to_json(), "cgroup": c.process.cgroup, "vm": c.process.vm, **_pages(c)}
            for c in alive[:TOP]
            if c.process is not None
        ]
        return {"processes": listed, "other": _pages(other), "exited": _pages(exited)}

    def _ranges(self) -> list[dict[str, Any]]:
        listed = []
        for count in ranked(self._breaks.by_range.values())[:TOP]:
            assert count.process is not None, "only sums have none"
            place = {"start": f"{count.place:#x}", "end": f"{count.place + (1 << RANGE_SHIFT):#x}"}
            pages = {"user_pages": count.user, "kernel_pages": count.kernel}
            listed.append({**count.process.to_json(), **place, **pages})
        return listed

    @hookimpl
    def ksmtrace_metrics(self, session: Session) -> Iterable[Metric]:
        """Metric families of what this run can see."""
        if session.knows(Knowledge.WRITES) or session.knows(Knowledge.FAULT_TIMES):
            yield from metrics(self.ksmtrace_analysis(session), self._breaks.latency)

    @hookimpl
    def ksmtrace_panels(self, session: Session) -> Iterable[Panel]:
        """One panel of figures and the three processes with most, usable 26 columns wide."""
        yield from panel(self.ksmtrace_analysis(session), derived=session.derives_writes)

    @hookimpl
    def ksmtrace_sections(self, session: Session) -> Iterable[Section]:
        """Who breaks merged pages, and what it costs."""
        probe = session.probes.get(EventKind.COW_FAULT)
        note = "" if probe is None else probe.note
        analysis, derived = self.ksmtrace_analysis(session), session.derives_writes
        # without trees there are no KSM pages: zero pages are all that is merged
        pages = "KSM" if session.knows(Knowledge.TREES) else "zero"
        yield section(analysis, self._breaks.rates.seconds(), note, pages, derived=derived)


def _pages(count: Count) -> dict[str, int]:
    return {
        "user_pages": count.user,
        "kernel_pages": count.kernel,
        "regret_pages": count.regretted,
    }


def _storm(storm: Storm) -> dict[str, Any]:
    return {
        "start_seconds": storm.first,
        "seconds": storm.last - storm.first + 1,
        "user_pages": storm.user,
        "kernel_pages": storm.kernel,
        "worst_per_second": storm.worst,
        "median_per_second": storm.usual,
        "processes": [
            {**storm.processes[number].to_json(), "pages": pages}
            for number, pages in storm.by_process.most_common()
        ],
    }
