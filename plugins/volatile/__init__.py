"""Analyzer of volatile pages: why pages are in neither tree, whose they are, and what looking at them costs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from prometheus_client.core import Metric
from rich.panel import Panel

from ksmtrace import hookimpl
from ksmtrace.events import EventBatch, EventKind, Gauge
from ksmtrace.model.ksmd_time import KsmdTime
from ksmtrace.model.processes import Process
from ksmtrace.model.ranges import fullest_ranges
from ksmtrace.model.reconstruction import Reconstruction
from ksmtrace.model.scan import Scan
from ksmtrace.model.timeline import Timeline
from ksmtrace.plugins.volatile.cause import Cause, Counts
from ksmtrace.plugins.volatile.causes import Causes, Tally
from ksmtrace.plugins.volatile.metrics import causes, gauges, outcomes
from ksmtrace.plugins.volatile.view import LIVE, REMEDIES, panel, section
from ksmtrace.section import Section
from ksmtrace.session import Session

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
"""What a cause cannot be told without."""

_PROCESSES = (
    *("processes", "other_changed_pages", "exited_changed_pages"),
    *("cause_processes", "cause_rest"),
)


class Plugin:
    """What ksmd's examinations came to, and why those came to nothing that did.

    JSON, each None where this run cannot know it; page counts are examinations unless "now" is said:
        volatile_pages: rmap_items in neither tree, as sysfs pages_volatile, reconstructed, now.
        examined_pages: CMP_AND_MERGE_PAGE; the sum of the six counts that follow.
        placed_stable_pages, placed_unstable_pages: ended in that tree.
        changed_pages: ended in neither tree, and the checksum differed from that of the look before.
        first_look_pages: the same, but there was no look before (oldchecksum 0): says nothing about change.
        unplaced_pages: ended in neither tree with the checksum unchanged; `causes` tells fork_shared, held, huge_page and
            other, the rest was replaced by the zero page.
        freed_pages: the rmap_item was gone before the outcome could be read.
        last_pass_examined_pages, last_pass_changed_pages: in the last pass that was seen whole.
        last_pass_changed_ratio: the second by the first, 0 to 1.
        causes: by cause (`ksmtrace.plugins.volatile.cause.Cause` says what each means): examined_pages, examinations that came to
            nothing because of it; now_pages, rmap_items that it keeps from their place now, a lower bound where volatile_pages is None;
            ksmd_cpu_seconds, ksmd's time times their share of all examinations. chain_full pages wait in the
            unstable tree; they are counted as a pass ends, each pass anew. For skipped and gone, examined_pages is what was
            spent before that was known: none, and freed_pages.
        skipped_pages, gone_pages: pages that smart scan passed over; rmap_items freed that were not merged.
        split_huge_pages: huge pages that attempts to merge took apart.
        wasted_pages, wasted_ratio: examined_pages of all causes but first_look; by examined_pages.
        processes: the `TOP` with most changed_pages, as {"pid", "comm", "mm", "changed_pages"}; pid and comm are None
            where no name was seen; comm has "?" for what cannot be printed; mm is the key in the capture.
        other_changed_pages, exited_changed_pages: of the processes not listed, and of those that have exited.
        cause_processes: the `TOP` with most examinations that led to nothing, as {"pid", "comm", "mm", "cgroup", "vm"} and for
            each cause "<cause>_pages", as in `causes`; skipped_pages and gone_pages as above.
        cause_rest: the same sums over all other processes, those that have exited included.
        ranges: the `TOP` runs of 2 MiB with most pages kept from their place now, as {"pid", "comm", "mm", "start", "end",
            "pages"} and "<cause>_pages"; addresses in hexadecimal.
    """

    def __init__(self) -> None:
        self._reconstruction: Reconstruction | None = None
        self._causes = Causes(sees_attempts=True)
        self._ksmd = KsmdTime()
        self._last_pass: tuple[int, int] | None = None  # examined, changed
        self._last_ns = 0
        self._over_time = Timeline(*(cause.name for cause in LIVE))

    @hookimpl
    def ksmtrace_session_start(self, session: Session) -> None:
        """Whether a merge that is not seen was not attempted."""
        self._causes = Causes(sees_attempts=session.sees(EventKind.TRY_TO_MERGE_ONE_PAGE))

    @hookimpl
    def ksmtrace_batch(self, batch: EventBatch, reconstruction: Reconstruction) -> None:
        """Class the examinations and put them down to their processes."""
        self._reconstruction = reconstruction
        self._causes.apply(batch, reconstruction)
        self._ksmd.apply(batch)
        if batch.kind[-1:] == EventKind.SCAN_STOP:
            self._last_ns = max(self._last_ns, int(batch.events["ts"][-1]))

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
        """The figures of the class docstring."""
        figures = self._figures(session)
        if not session.sees(EventKind.CMP_AND_MERGE_PAGE):
            return {**figures, **dict.fromkeys((*_PROCESSES, "causes", "ranges"))}
        exits = session.sees(EventKind.MM_EXIT)
        found = self._by_process()
        if not exits:
            found["exited_changed_pages"] = None
        return {**figures, "causes": self._by_cause(session), **found, "ranges": self._ranges()}

    def _by_process(self) -> dict[str, Any]:
        found, ranked = self._causes, self._causes.ranked()
        exited = found.exited + _sum(t for t in found.tallies.values() if t.process.exited)
        by_change = sorted(ranked, key=lambda t: (-t.counts[Cause.CHANGED], t.process.mm))
        listed = [tally for tally in by_change[:TOP] if tally.counts[Cause.CHANGED]]
        others = found.others + _sum(ranked) - _sum(listed)
        return {
            "processes": [
                {**_name(t.process), "changed_pages": int(t.counts[Cause.CHANGED])} for t in listed
            ],
            "other_changed_pages": int(others[Cause.CHANGED]),
            "exited_changed_pages": int(exited[Cause.CHANGED]),
            "cause_processes": [
                {
                    **_name(t.process),
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
                **_name(processes.of(one.mm)),
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
        unknown = {c for c, kind in _TOLD_BY.items() if not session.sees(kind)}
        lines: dict[str, dict[str, float | None]] = {
            cause.name.lower(): {
                "examined_pages": count,
                "now_pages": int(now[cause]),
                "ksmd_cpu_seconds": self._seconds(count),
            }
            for cause, count in (examined | first).items()
        }
        for cause in unknown:
            lines[cause.name.lower()] = dict.fromkeys(lines[cause.name.lower()])
        return lines

    def _seconds(self, examined: int) -> float | None:
        """CPU time of ksmd for so many examinations, as if all cost the same."""
        every, spent = self._every(), self._ksmd.seconds
        return None if spent is None or not every else spent * examined / every

    def _every(self) -> int:
        counts = self._causes.counts
        unplaced = counts[[Cause.FIRST_LOOK, Cause.CHANGED, *_UNCHANGED]]
        return int(self._causes.placed.sum() + unplaced.sum()) + self._causes.freed_examinations

    def _figures(self, session: Session) -> dict[str, float | None]:
        reconstructed = self._reconstruction.gauges() if self._reconstruction else {}
        seen = session.sees(EventKind.CMP_AND_MERGE_PAGE)
        counts, every = self._causes.counts, self._every()
        examined, changed = self._last_pass or (None, None)
        wasted = sum(self._examined().values())
        attempts = session.sees(EventKind.TRY_TO_MERGE_ONE_PAGE)
        figures = {
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
            "skipped_pages": int(counts[Cause.SKIPPED])
            if session.sees(EventKind.SKIPPED)
            else None,
            "gone_pages": int(counts[Cause.GONE])
            if session.sees(EventKind.REMOVE_RMAP_ITEM)
            else None,
            "split_huge_pages": self._causes.splits if attempts else None,
            "wasted_pages": wasted,
            "wasted_ratio": wasted / every if every else None,
        }
        return {
            "volatile_pages": reconstructed.get(Gauge.PAGES_VOLATILE),
            **{key: value if seen else None for key, value in figures.items()},
        }

    @hookimpl
    def ksmtrace_metrics(self, session: Session) -> Iterable[Metric]:
        """Metric families of what this run can see."""
        figures = self._figures(session)
        yield from gauges(figures)
        if session.sees(EventKind.CMP_AND_MERGE_PAGE):
            yield outcomes(figures)
            yield from causes(self._examined(), self._now())

    @hookimpl
    def ksmtrace_panels(self, session: Session) -> Iterable[Panel]:
        """One panel of figures and the three processes that change most, usable 26 columns wide."""
        seen = session.sees(EventKind.CMP_AND_MERGE_PAGE)
        told = {"causes": self._by_cause(session), **self._by_process()} if seen else {}
        yield panel({**self._figures(session), **told})

    @hookimpl
    def ksmtrace_sections(self, session: Session) -> Iterable[Section]:
        """Why pages do not merge."""
        yield section(self.ksmtrace_analysis(session), self._over_time)


def _sum(tallies: Iterable[Tally]) -> Counts:
    return sum((tally.counts for tally in tallies), start=np.zeros(len(Cause), dtype=np.int64))


def _name(process: Process) -> dict[str, Any]:
    return {"pid": process.pid, "comm": process.comm or None, "mm": f"{process.mm:#x}"}


def _pages(counts: Counts, causes: Iterable[Cause] = tuple(REMEDIES)) -> dict[str, int]:
    return {f"{cause.name.lower()}_pages": int(counts[cause]) for cause in causes}
