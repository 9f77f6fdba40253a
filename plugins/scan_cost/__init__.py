"""Analyzer of the cost of scanning: time and coverage of passes, and whether KSM has settled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ksmtrace import hookimpl
from ksmtrace.events import EventBatch, EventKind, Gauge
from ksmtrace.events import numbers as kinds
from ksmtrace.events.readings import Reading
from ksmtrace.figures import known
from ksmtrace.model.accounts import ZERO_CHECKSUM
from ksmtrace.model.reconstruction import Reconstruction
from ksmtrace.model.scan import Scan
from ksmtrace.model.settling import Settling
from ksmtrace.model.timeline import Timeline
from ksmtrace.plugins.scan_cost.figures import FIGURES
from ksmtrace.plugins.scan_cost.metrics import metrics
from ksmtrace.plugins.scan_cost.scan_times import BUCKETS_SECONDS, KsmdPages, PassTimes
from ksmtrace.plugins.scan_cost.view import panel, section
from ksmtrace.section import Section
from ksmtrace.session import Session

if TYPE_CHECKING:
    from prometheus_client.core import Metric
    from rich.panel import Panel

_ADVISOR = "scan-time"


class Plugin:
    """What scanning costs, pass by pass.

    JSON: `FIGURES`.
    """

    def __init__(self) -> None:
        self._settling = Settling()
        self._scanned = KsmdPages()
        self._examined = self._skipped = self._passes = 0
        self._zeroes = 0  # of the pass under way
        self._last: tuple[int, int, int | None, int] | None = None
        self._times = PassTimes()
        self._over_time = Timeline("duration", "examined", "skipped")
        self._tunables: Mapping[str, str] = {}
        self._advised = Timeline("pages")
        self._cores = Timeline("ksmd")

    @hookimpl
    def ksmtrace_batch(self, batch: EventBatch, reconstruction: Reconstruction) -> None:
        """Count what was examined."""
        examined = batch.rows(kinds.CMP_AND_MERGE_PAGE)
        self._examined += len(examined)
        self._skipped += batch.count(kinds.SKIPPED)
        zero = examined[batch.events["checksum"][examined] == ZERO_CHECKSUM]
        starts = batch.rows(kinds.SCAN_START)
        if len(starts):
            self._zeroes = 0
            zero = zero[zero > starts[-1]]
        self._zeroes += len(zero)
        self._tunables = reconstruction.tunables

    @hookimpl
    def ksmtrace_reading(self, reading: Reading, session: Session) -> None:
        """Take in the kernel's counters."""
        every = session.sees(EventKind.CMP_AND_MERGE_PAGE) and not session.only_pids
        self._advise(reading, session)
        ksmd = self._scanned.ksmd
        cpu_ns, wall_ns = ksmd.cpu_ns, ksmd.wall_ns
        self._scanned.read(reading, self._examined if every else None)
        if ksmd.wall_ns > wall_ns:
            at = max(0, reading.ns - session.monotonic_ns) / 1e9
            self._cores.add(at, (ksmd.cpu_ns - cpu_ns) / (ksmd.wall_ns - wall_ns))
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
    def ksmtrace_analysis(self, session: Session) -> dict[str, Any]:
        """The figures of `FIGURES`."""
        visited = self._examined + self._skipped
        examined, skipped, items, zeroes = self._last or (None, None, None, None)
        scanned, settling, timed = self._scanned, self._settling, session.timed
        ksmd = scanned.ksmd
        names = (*map(str, BUCKETS_SECONDS), "more")
        tunables = self._tunables or session.tunables
        advised = {name: self._advised.column(name) for name in ("seconds", "pages")}
        figures = {
            "passes": self._passes,
            "last_pass_seconds": self._times.last_seconds,
            "mean_pass_seconds": self._times.mean_seconds if timed else None,
            "ksmd_cpu_seconds": ksmd.cpu_ns / 1e9 if ksmd.wall_ns else None,
            "ksmd_cores": ksmd.cores,
            "pages_per_cpu_second": scanned.pages_by(ksmd.cpu_ns),
            "pages_per_second": scanned.pages_by(ksmd.wall_ns),
            "examined_pages": self._examined,
            "skipped_pages": self._skipped,
            "skipped_ratio": self._skipped / visited if visited else None,
            "last_pass_examined_pages": examined,
            "last_pass_skipped_pages": skipped,
            "last_pass_rmap_items": items,
            "coverage_ratio": examined / items if items and examined is not None else None,
            "last_pass_zero_checksum_pages": zeroes,
            "last_pass_sharing_change_ratio": settling.change_ratio,
            "settled_after_passes": settling.after_passes,
            "settled_after_seconds": settling.after_seconds(session) if timed else None,
            "pass_seconds_histogram": dict(zip(names, self._times.counts, strict=True))
            if timed
            else None,
            "settled": settling.settled,
            "advisor_mode": tunables.get("advisor_mode"),
            "pages_to_scan": _number(tunables.get("pages_to_scan")),
            "sleep_millisecs": _number(tunables.get("sleep_millisecs")),
            "advisor_pages_to_scan": advised if advised["pages"] else None,
        }
        return known(FIGURES, session, figures)

    def _advise(self, reading: Reading, session: Session) -> None:
        """Keep what the advisor has made of pages_to_scan."""
        pages = reading.values.get(Gauge.PAGES_TO_SCAN)
        if pages is not None and self._tunables.get("advisor_mode") == _ADVISOR:
            self._advised.add(max(0, reading.ns - session.monotonic_ns) / 1e9, pages)

    @hookimpl
    def ksmtrace_metrics(self, session: Session) -> Iterable[Metric]:
        """Metric families of what this run can see."""
        return metrics(self.ksmtrace_analysis(session), self._times)

    @hookimpl
    def ksmtrace_panels(self, session: Session) -> Iterable[Panel]:
        """One panel of figures, usable 26 columns wide."""
        return panel(self.ksmtrace_analysis(session))

    @hookimpl
    def ksmtrace_sections(self, session: Session) -> Iterable[Section]:
        """What scanning costs."""
        figures = self.ksmtrace_analysis(session)
        return [section(figures, self._over_time, self._advised, self._cores)]


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None
