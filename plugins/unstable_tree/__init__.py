"""Analyzer of the unstable tree: candidates that wait for an equal page, and how many find one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from ksmtrace import hookimpl
from ksmtrace.events import EventBatch, Flag, Gauge
from ksmtrace.events import numbers as kinds
from ksmtrace.events.readings import Reading
from ksmtrace.figures import families, known
from ksmtrace.model.gauges_now import gauges_now
from ksmtrace.model.reconstruction import Reconstruction
from ksmtrace.plugins.unstable_tree.figures import FIGURES
from ksmtrace.plugins.unstable_tree.view import panel, section
from ksmtrace.section import Section
from ksmtrace.session import Session

if TYPE_CHECKING:
    from prometheus_client.core import Metric
    from rich.panel import Panel

_BEFORE, _AFTER, _FREED = int(Flag.UNSTABLE_BEFORE), int(Flag.UNSTABLE_AFTER), int(Flag.FREED)
_STABLE_AFTER = int(Flag.STABLE_AFTER)


class Plugin:
    """Who waits in the unstable tree, and what comes of the waiting.

    A candidate leaves the tree in every pass: when it is examined again, when smart scan skips it,
    or when an equal page is found. Which of these it was, only what happens to the rmap_item next
    can prove; where a loss comes in between it is not counted.

    JSON: `FIGURES`.
    """

    def __init__(self) -> None:
        self._reconstruction: Reconstruction | None = None
        self._inserted = 0
        self._removed = 0
        self._matched = 0
        self._gone = 0
        self._open: set[int] = set()  # rmap_items taken out of the tree, fate unknown so far
        self._pass_whole = False
        self._pass_inserted = 0
        self._last_pass_inserted: int | None = None
        self._counters: Mapping[Gauge, int] = {}

    @hookimpl
    def ksmtrace_batch(self, batch: EventBatch, reconstruction: Reconstruction) -> None:
        """Count what enters and leaves."""
        self._reconstruction = reconstruction
        if batch.only_counters:
            return
        start = 0
        for mark in batch.rows(kinds.SCAN_START, kinds.LOST).tolist():
            self._count(batch, slice(start, mark))
            self._pass_whole = bool(batch.where(kinds.SCAN_START)[mark])
            self._pass_inserted = 0
            if not self._pass_whole:
                self._open.clear()
            start = mark + 1
        self._count(batch, slice(start, len(batch)))

    def _count(self, batch: EventBatch, part: slice) -> None:
        flags, items = batch.flags[part], batch.rmap_item[part]
        examined = batch.where(kinds.CMP_AND_MERGE_PAGE)[part]
        inserted = examined & (flags & (_AFTER | _FREED) == _AFTER)
        removed = batch.where(kinds.REMOVE_RMAP_ITEM)[part]
        freed = removed & (flags & _FREED != 0)
        left = removed & ~freed & (flags & _BEFORE != 0)
        count = int(np.count_nonzero(inserted))
        self._inserted += count
        self._pass_inserted += count
        self._removed += int(np.count_nonzero(left))
        self._gone += int(np.count_nonzero(freed & (flags & _BEFORE != 0)))
        joined = batch.where(kinds.STABLE_APPEND)[part]
        # Most are taken out only to be put back by the very next event.
        put_back = left[:-1] & inserted[1:] & (items[1:] == items[:-1])
        left[:-1] &= ~put_back
        telling = examined & (flags & _STABLE_AFTER == 0)
        telling[1:] &= ~put_back
        telling |= freed | left | joined
        self._match(items[telling], left[telling], joined[telling])

    def _match(
        self,
        items: np.ndarray[tuple[int], np.dtype[np.uint64]],
        left: np.ndarray[tuple[int], np.dtype[np.bool_]],
        joined: np.ndarray[tuple[int], np.dtype[np.bool_]],
    ) -> None:
        """Pair each removal with the next event of its rmap_item."""
        if not len(items):
            return
        order = np.argsort(items, kind="stable")
        items, left, joined = items[order], left[order], joined[order]
        same = items[1:] == items[:-1]
        self._matched += int(np.count_nonzero(same & left[:-1] & joined[1:]))
        first, last = np.append(True, ~same), np.append(~same, True)
        self._matched += sum(item in self._open for item in items[first & joined].tolist())
        self._open.difference_update(items[first].tolist())
        self._open.update(items[last & left].tolist())

    @hookimpl
    def ksmtrace_reading(self, reading: Reading) -> None:
        """Take in the kernel's own count."""
        if Gauge.PAGES_UNSHARED in reading.values:
            self._counters = reading.values

    @hookimpl
    def ksmtrace_scan_end(self) -> None:
        """Keep the pass, if it was seen whole."""
        if self._pass_whole:
            self._last_pass_inserted = self._pass_inserted
        self._pass_whole = False

    @hookimpl
    def ksmtrace_analysis(self, session: Session) -> dict[str, int | None]:
        """The figures of `FIGURES`."""
        gauges = gauges_now(session, self._reconstruction, self._counters)
        return known(
            FIGURES,
            session,
            {
                "unshared_pages": gauges.get(Gauge.PAGES_UNSHARED),
                "inserted_pages": self._inserted,
                "last_pass_inserted_pages": self._last_pass_inserted,
                "removed_pages": self._removed,
                "matched_pages": self._matched,
                "gone_pages": self._gone,
            },
        )

    @hookimpl
    def ksmtrace_metrics(self, session: Session) -> Iterable[Metric]:
        """Metric families of what this run can see."""
        return families(FIGURES, self.ksmtrace_analysis(session))

    @hookimpl
    def ksmtrace_panels(self, session: Session) -> Iterable[Panel]:
        """One panel of figures, usable 26 columns wide."""
        yield from panel(self.ksmtrace_analysis(session))

    @hookimpl
    def ksmtrace_sections(self, session: Session) -> Iterable[Section]:
        """How many pages wait, and how many find an equal one."""
        yield section(self.ksmtrace_analysis(session))
