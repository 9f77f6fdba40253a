"""Analyzer of volatile pages: why pages are in neither tree, whose they are, and their cost."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from ksmtrace import hookimpl
from ksmtrace.events import EventBatch, EventKind, Gauge
from ksmtrace.events.readings import Reading
from ksmtrace.figures import families, known
from ksmtrace.model.gauges_now import gauges_now
from ksmtrace.model.ksmd_time import KsmdTime
from ksmtrace.model.ranges import fullest_ranges
from ksmtrace.model.reconstruction import Reconstruction
from ksmtrace.model.scan import Scan
from ksmtrace.model.timeline import Timeline
from ksmtrace.plugins.volatile.cause import LIVE, REMEDIES, Cause, Counts
from ksmtrace.plugins.volatile.examinations import Examinations, Tally
from ksmtrace.plugins.volatile.figures import FIGURES
from ksmtrace.plugins.volatile.metrics import by_cause
from ksmtrace.plugins.volatile.view import panel, section
from ksmtrace.section import Section
from ksmtrace.session import Knowledge, Session

if TYPE_CHECKING:
    from prometheus_client.core import Metric
    from rich.panel import Panel

TOP = 10
"""Processes and ranges named in the JSON document."""

_UNCHANGED = (Cause.FORK_SHARED, Cause.HELD, Cause.HUGE_PAGE, Cause.OTHER, Cause.ZERO_PAGE)

_KEPT = np.isin(np.arange(len(Cause)), LIVE)

_TOLD_BY = {
    Cause.FORK_SHARED: EventKind.TRY_TO_MERGE_ONE_PAGE,
    Cause.HELD: EventKind.TRY_TO_MERGE_ONE_PAGE,
    Cause.HUGE_PAGE: EventKind.TRY_TO_MERGE_ONE_PAGE,
    Cause.SKIPPED: EventKind.SKIPPED,
    Cause.CHAIN_FULL: EventKind.STABLE_APPEND,
    Cause.GONE: EventKind.REMOVE_RMAP_ITEM,
}
"""Events without which it is not known whether a cause applies."""

_OF_ENTRIES = frozenset({Cause.FORK_SHARED, Cause.CHAIN_FULL, Cause.GONE, Cause.FIRST_LOOK})
"""Causes that rest on an rmap_item's being met again and again as long as its page is there."""

_BY_CHECKSUM = frozenset({Cause.CHANGED, Cause.FORK_SHARED, Cause.CHAIN_FULL, Cause.FIRST_LOOK})
"""Causes that rest on checksums."""


class Plugin:
    """What ksmd's examinations came to, and why those came to nothing that did.

    JSON: `FIGURES`; page counts are examinations, except those that are "now".
    """

    def __init__(self) -> None:
        self._reconstruction: Reconstruction | None = None
        self._causes = Examinations(sees_attempts=True)
        self._ksmd = KsmdTime()
        self._last_pass: tuple[int, int] | None = None  # examined, changed
        self._last_ns = 0
        self._counters: dict[Gauge, int] = {}
        self._over_time = Timeline(*(cause.name for cause in LIVE))

    @hookimpl
    def ksmtrace_session_start(self, session: Session) -> None:
        """Whether a merge that is not seen was not attempted."""
        self._causes = Examinations(
            sees_attempts=session.sees(EventKind.TRY_TO_MERGE_ONE_PAGE),
            checksums=_checksums_tell(session),
            one_tree=session.knows(Knowledge.ONE_TREE),
        )

    @hookimpl
    def ksmtrace_batch(self, batch: EventBatch, reconstruction: Reconstruction) -> None:
        """Class the examinations and put them down to their processes."""
        self._reconstruction = reconstruction
        self._causes.apply(batch, reconstruction)
        if batch.kind[-1:] == EventKind.SCAN_STOP:
            self._last_ns = max(self._last_ns, int(batch.events["ts"][-1]))

    @hookimpl
    def ksmtrace_reading(self, reading: Reading) -> None:
        """Follow ksmd's CPU time and the kernel's own count of volatile pages."""
        self._ksmd.read(reading)
        if reading.pages_volatile is not None:
            self._counters[Gauge.PAGES_VOLATILE] = reading.pages_volatile

    @hookimpl
    def ksmtrace_scan_end(
        self, scan: Scan, reconstruction: Reconstruction, session: Session
    ) -> None:
        """Keep the pass, if it was seen whole."""
        self._causes.end_of_pass(reconstruction)
        if scan.whole:
            changed = int(self._causes.in_pass[Cause.CHANGED])
            self._last_pass = scan.count(EventKind.CMP_AND_MERGE_PAGE), changed
            now = self._live(reconstruction, len(self._causes.waiting))
            seconds = (self._last_ns - session.monotonic_ns) / 1e9
            self._over_time.add(seconds, *(int(now[cause]) for cause in LIVE))

    def _now(self) -> Counts:
        """Pages by cause, now."""
        if self._reconstruction is None:
            return np.zeros(len(Cause), dtype=np.int64)
        full = self._causes.chain_full(self._reconstruction)
        return self._live(self._reconstruction, len(full))

    def _live(self, reconstruction: Reconstruction, full: int) -> Counts:
        items = self._causes.unplaced(reconstruction)
        counts = np.bincount(self._causes.of[items], minlength=len(Cause))
        counts[Cause.CHAIN_FULL] = full
        return counts

    @hookimpl
    def ksmtrace_analysis(self, session: Session) -> dict[str, Any]:
        """The figures of `FIGURES`."""
        found = {
            "causes": self._by_cause(session),
            **self._by_process(),
            "ranges": self._ranges(),
        }
        return {**self._counted(session), **known(FIGURES, session, found)}

    def _by_process(self) -> dict[str, Any]:
        found, ranked = self._causes, self._causes.ranked()
        exited = found.exited + _sum(t for t in found.tallies.values() if t.process.exited)
        by_change = sorted(ranked, key=lambda t: (-t.counts[Cause.CHANGED], t.process.mm))
        listed = [tally for tally in by_change[:TOP] if tally.counts[Cause.CHANGED]]
        others = found.others + _sum(ranked) - _sum(listed)
        return {
            "processes": [
                {**t.process.to_json(), "changed_pages": int(t.counts[Cause.CHANGED])}
                for t in listed
            ],
            "other_changed_pages": int(others[Cause.CHANGED]),
            "exited_changed_pages": int(exited[Cause.CHANGED]),
            "cause_processes": [
                {
                    **t.process.to_json(),
                    "cgroup": t.process.cgroup,
                    "vm": t.process.vm,
                    **_pages(t.counts),
                }
                for t in ranked[:TOP]
            ],
            "cause_rest": _pages(exited + found.others + _sum(ranked[TOP:])),
        }

    def _ranges(self) -> list[dict[str, object]]:
        if self._reconstruction is None:
            return []
        items, of = self._reconstruction.items, self._causes.of
        unplaced = self._causes.unplaced(self._reconstruction)
        unplaced = unplaced[_KEPT[of[unplaced]]]
        full = self._causes.chain_full(self._reconstruction)
        which = np.append(of[unplaced], np.full(len(full), Cause.CHAIN_FULL, dtype=np.uint8))
        rows = np.append(unplaced, full)
        found = fullest_ranges(items.mm[rows], items.address[rows], which, len(Cause), TOP)
        processes = self._reconstruction.processes
        return [
            {
                **processes.of(one.mm).to_json(),
                "start": f"{one.start:#x}",
                "end": f"{one.end:#x}",
                "pages": int(one.counts.sum()),
                **_pages(one.counts, LIVE),
            }
            for one in found
        ]

    def _examined(self) -> dict[Cause, int]:
        """Examinations that led to nothing, by cause."""
        counts = {cause: int(self._causes.counts[cause]) for cause in REMEDIES}
        return counts | {Cause.SKIPPED: 0, Cause.GONE: self._causes.freed_examinations}

    def _by_cause(self, session: Session) -> dict[str, dict[str, float | None]]:
        now, examined = self._now(), self._examined()
        first = {Cause.FIRST_LOOK: int(self._causes.counts[Cause.FIRST_LOOK])}
        lines: dict[str, dict[str, float | None]] = {
            cause.name.lower(): {
                "examined_pages": count,
                "now_pages": int(now[cause]),
                "ksmd_cpu_seconds": self._seconds(count),
            }
            for cause, count in (examined | first).items()
        }
        for cause in _unknown(session):
            lines[cause.name.lower()] = dict.fromkeys(lines[cause.name.lower()])
        return lines

    def _seconds(self, examined: int) -> float | None:
        """CPU time of ksmd for so many examinations, as if all cost the same."""
        every, spent = self._every(), self._ksmd.cpu_ns / 1e9
        return spent * examined / every if spent and every else None

    def _every(self) -> int:
        counts = self._causes.counts
        unplaced = counts[[Cause.FIRST_LOOK, Cause.CHANGED, *_UNCHANGED]]
        return int(self._causes.placed.sum() + unplaced.sum()) + self._causes.freed_examinations

    def _counted(self, session: Session) -> dict[str, Any]:
        """The figures of all processes together, except by cause."""
        gauges = gauges_now(session, self._reconstruction, self._counters)
        counts, every = self._causes.counts, self._every()
        examined, changed = self._last_pass or (None, None)
        wasted = sum(self._examined().values())
        figures = {
            "volatile_pages": gauges.get(Gauge.PAGES_VOLATILE),
            "examined_pages": every,
            "placed_stable_pages": int(self._causes.placed[0]),
            "placed_unstable_pages": int(self._causes.placed[1]),
            "changed_pages": int(counts[Cause.CHANGED]),
            "first_look_pages": int(counts[Cause.FIRST_LOOK]),
            "unplaced_pages": int(counts[list(_UNCHANGED)].sum()),
            "freed_pages": self._causes.freed_examinations,
            "last_pass_examined_pages": examined,
            "last_pass_changed_pages": changed,
            "last_pass_changed_ratio": changed / examined
            if examined and changed is not None
            else None,
            "skipped_pages": int(counts[Cause.SKIPPED]),
            "gone_pages": int(counts[Cause.GONE]),
            "split_huge_pages": self._causes.splits,
            "wasted_pages": wasted,
            "wasted_ratio": wasted / every if every else None,
        }
        return known(FIGURES, session, figures)

    @hookimpl
    def ksmtrace_metrics(self, session: Session) -> Iterable[Metric]:
        """Metric families of what this run can see."""
        yield from families(FIGURES, self._counted(session))
        if session.sees(EventKind.CMP_AND_MERGE_PAGE) and session.knows(Knowledge.TREES):
            yield from by_cause(self._examined(), self._now(), _unknown(session))

    @hookimpl
    def ksmtrace_panels(self, session: Session) -> Iterable[Panel]:
        """One panel of figures and the three processes that change most, usable 26 columns wide."""
        found = {"causes": self._by_cause(session), **self._by_process()}
        yield from panel({**self._counted(session), **known(FIGURES, session, found)})

    @hookimpl
    def ksmtrace_sections(self, session: Session) -> Iterable[Section]:
        """Why pages do not merge."""
        yield section(self.ksmtrace_analysis(session), self._over_time)


def _checksums_tell(session: Session) -> bool:
    return session.knows(Knowledge.RMAP_ITEMS) and session.knows(Knowledge.CHECKSUMS)


def _unknown(session: Session) -> set[Cause]:
    """Causes of which this run cannot tell whether they apply."""
    unknown = {cause for cause, kind in _TOLD_BY.items() if not session.sees(kind)}
    if not session.knows(Knowledge.RMAP_ITEMS):
        unknown |= _OF_ENTRIES
    if not session.knows(Knowledge.CHECKSUMS):
        unknown |= _BY_CHECKSUM
    if not session.knows(Knowledge.ONE_TREE):
        unknown |= {Cause.CHAIN_FULL}
    return unknown


def _sum(tallies: Iterable[Tally]) -> Counts:
    return sum((tally.counts for tally in tallies), start=np.zeros(len(Cause), dtype=np.int64))


def _pages(counts: Counts, causes: Iterable[Cause] = tuple(REMEDIES)) -> dict[str, int]:
    return {f"{cause.name.lower()}_pages": int(counts[cause]) for cause in causes}
