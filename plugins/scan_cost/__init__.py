"""Analyzer of the scan: how long passes take, what they cost, what they cover, and whether KSM has settled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from prometheus_client.core import Metric
from rich.panel import Panel

from ksmtrace import hookimpl
from ksmtrace.events import EventBatch, EventKind, Gauge
from ksmtrace.events.readings import Reading, ReadingTracker
from ksmtrace.model.accounts import ZERO_CHECKSUM
from ksmtrace.model.reconstruction import Reconstruction
from ksmtrace.model.scan import Scan
from ksmtrace.model.settling import Settling
from ksmtrace.model.timeline import Timeline
from ksmtrace.plugins.scan_cost.metrics import families
from ksmtrace.plugins.scan_cost.scan_times import BUCKETS_SECONDS, KsmdTime, PassTimes
from ksmtrace.plugins.scan_cost.view import panel, section
from ksmtrace.section import Section
from ksmtrace.session import Session

_ADVISOR = "scan-time"


class Plugin:
    """What scanning costs, pass by pass.

    JSON, each None where this run cannot know it. Seconds of an engine's run are None: its times only show the order.
        passes: that ended, whether seen whole or not.
        last_pass_seconds, mean_pass_seconds: of passes seen whole, sleeps included; where their ends are not seen, the mean
            by the steps of full_scans.
        pass_seconds_histogram: passes seen whole by duration; key is the upper bound in seconds, "more" above all.
        ksmd_cpu_seconds, ksmd_cores: ksmd's CPU time between the first and the last reading of it; the same by time.
        pages_per_cpu_second, pages_per_second: pages examined in that time, by ksmd's CPU time and by time.
        examined_pages, skipped_pages: CMP_AND_MERGE_PAGE and SKIPPED.
        skipped_ratio: what smart scan passed over, of both.
        last_pass_examined_pages, last_pass_skipped_pages: in the last pass that was seen whole.
        last_pass_rmap_items, coverage_ratio: rmap_items when it ended; examined pages of it by these.
        last_pass_zero_checksum_pages: pages of it with the checksum of a page of zeroes.
        settled: whether pages_sharing changed by less than 1 % in each of the last two passes.
        last_pass_sharing_change_ratio: by how much in the last.
        settled_after_passes, settled_after_seconds: when it last changed by more; None unless settled.
        advisor_mode, pages_to_scan, sleep_millisecs: now, with all writes since the run began.
        advisor_pages_to_scan: what the advisor made of pages_to_scan, by the readings of it while advisor_mode was scan-time:
            "seconds" since the start and "pages", at most 512 of each; None without any.
    """

    def __init__(self) -> None:
        self._readings = ReadingTracker()
        self._settling = Settling()
        self._spent = KsmdTime()
        self._examined = self._skipped = self._passes = 0
        self._zeroes = 0  # of the pass under way
        self._last: tuple[int, int, int | None, int] | None = None
        self._times = PassTimes()
        self._over_time = Timeline("duration", "examined", "skipped")
        self._tunables: Mapping[str, str] = {}
        self._advised = Timeline("pages")

    @hookimpl
    def ksmtrace_batch(
        self, batch: EventBatch, reconstruction: Reconstruction, session: Session
    ) -> None:
        """Count what was examined; take in the kernel's counters."""
        kind = batch.kind
        examined = kind == EventKind.CMP_AND_MERGE_PAGE
        self._examined += int(np.count_nonzero(examined))
        self._skipped += int(np.count_nonzero(kind == EventKind.SKIPPED))
        zero = np.flatnonzero(examined & (batch.events["checksum"] == ZERO_CHECKSUM))
        starts = np.flatnonzero(kind == EventKind.SCAN_START)
        if len(starts):
            self._zeroes = 0
            zero = zero[zero > starts[-1]]
        self._zeroes += len(zero)
        every = session.sees(EventKind.CMP_AND_MERGE_PAGE) and not session.only_pids
        self._tunables = reconstruction.tunables
        for reading in self._readings.apply(batch):
            self._advise(reading, session)
            self._spent.read(reading, self._examined if every else None)
            self._times.read(reading)
            self._settling.read(reading, session)

    @hookimpl
    def ksmtrace_scan_end(
        self, scan: Scan, reconstruction: Reconstruction, session: Session
    ) -> None:
        """Keep the pass, if it was seen whole."""
        self._passes += 1
        self._settling.scan_ended(scan, reconstruction, session)
        if not scan.whole:
            return
        examined, skipped = (
            scan.count(EventKind.CMP_AND_MERGE_PAGE),
            scan.count(EventKind.SKIPPED),
        )
        items = reconstruction.rmap_items if reconstruction.complete else None
        self._last = examined, skipped, items, self._zeroes
        if scan.duration_ns and session.timed:
            seconds = scan.duration_ns / 1e9
            self._times.add(seconds)
            at = max(0, scan.ended_ns - session.monotonic_ns) / 1e9
            self._over_time.add(at, seconds, examined, skipped)

    @hookimpl
    def ksmtrace_analysis(self, session: Session) -> dict[str, object]:
        """The figures of the class docstring."""
        names = [*map(str, BUCKETS_SECONDS), "more"]
        timed = session.sees(EventKind.SCAN_STOP) and session.timed
        tunables = self._tunables or session.tunables
        advised = {name: self._advised.column(name) for name in ("seconds", "pages")}
        return {
            **self._figures(session),
            "pass_seconds_histogram": dict(zip(names, self._times.counts, strict=True))
            if timed
            else None,
            "settled": self._settling.settled,
            "advisor_mode": tunables.get("advisor_mode"),
            "pages_to_scan": _number(tunables.get("pages_to_scan")),
            "sleep_millisecs": _number(tunables.get("sleep_millisecs")),
            "advisor_pages_to_scan": advised if advised["pages"] else None,
        }

    def _advise(self, reading: Reading, session: Session) -> None:
        """Keep what the advisor has made of pages_to_scan."""
        pages = reading.values.get(Gauge.PAGES_TO_SCAN)
        if pages is not None and self._tunables.get("advisor_mode") == _ADVISOR:
            self._advised.add(max(0, reading.ns - session.monotonic_ns) / 1e9, pages)

    def _figures(self, session: Session) -> dict[str, float | None]:
        seen = session.sees(EventKind.CMP_AND_MERGE_PAGE)
        skips = session.sees(EventKind.SKIPPED)
        visited = self._examined + self._skipped
        examined, skipped, items, zeroes = self._last or (None, None, None, None)
        spent, settling, timed = self._spent, self._settling, session.timed
        return {
            "passes": self._passes if session.sees(EventKind.SCAN_STOP) else None,
            "last_pass_seconds": self._times.last_seconds,
            "mean_pass_seconds": self._times.mean_seconds if timed else None,
            "ksmd_cpu_seconds": spent.cpu_ns / 1e9 if spent.wall_ns else None,
            "ksmd_cores": spent.cores(),
            "pages_per_cpu_second": spent.pages_by(spent.cpu_ns),
            "pages_per_second": spent.pages_by(spent.wall_ns),
            "examined_pages": self._examined if seen else None,
            "skipped_pages": self._skipped if skips else None,
            "skipped_ratio": self._skipped / visited if seen and skips and visited else None,
            "last_pass_examined_pages": examined if seen else None,
            "last_pass_skipped_pages": skipped if skips else None,
            "last_pass_rmap_items": items if seen else None,
            "coverage_ratio": examined / items if seen and items and examined is not None else None,
            "last_pass_zero_checksum_pages": zeroes if seen else None,
            "last_pass_sharing_change_ratio": settling.change_ratio,
            "settled_after_passes": settling.after_passes,
            "settled_after_seconds": settling.after_seconds(session) if timed else None,
        }

    @hookimpl
    def ksmtrace_metrics(self, session: Session) -> Iterable[Metric]:
        """Metric families of what this run can see."""
        shown = session.sees(EventKind.SCAN_STOP) and session.timed
        times = self._times if shown else None
        return families(self._figures(session), self._settling.settled, times)

    @hookimpl
    def ksmtrace_panels(self, session: Session) -> Iterable[Panel]:
        """One panel of figures, usable 26 columns wide."""
        return [panel(self._figures(session), self._settling.settled)]

    @hookimpl
    def ksmtrace_sections(self, session: Session) -> Iterable[Section]:
        """What scanning costs."""
        figures, settled = self._figures(session), self._settling.settled
        return [section(figures, settled, self._over_time, self._advised)]


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None
