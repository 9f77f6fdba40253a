"""Analyzer of the stable tree: what is shared, how it came to be merged, and what left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from ksmtrace import hookimpl
from ksmtrace.events import EventBatch, EventKind, Flag, Gauge
from ksmtrace.events.readings import Reading
from ksmtrace.events.result import result_name
from ksmtrace.events.totals import Outcome, Totals
from ksmtrace.figures import known
from ksmtrace.model.gauges_now import gauges_now
from ksmtrace.model.reconstruction import Reconstruction
from ksmtrace.model.scan import Scan
from ksmtrace.plugins.stable_tree.figures import FIGURES
from ksmtrace.plugins.stable_tree.metrics import metrics
from ksmtrace.plugins.stable_tree.nodes import NODE_AGES, ages, most_shared, sharers
from ksmtrace.plugins.stable_tree.readings import Readings
from ksmtrace.plugins.stable_tree.view import panel, section
from ksmtrace.section import Section
from ksmtrace.session import Knowledge, Session

if TYPE_CHECKING:
    from prometheus_client.core import Metric
    from rich.panel import Panel


class Plugin:
    """What the stable tree holds now, and what happened to it during the run.

    JSON: `FIGURES`.
    """

    def __init__(self) -> None:
        self._reconstruction: Reconstruction | None = None
        self._by_kind = np.zeros(256, dtype=np.int64)
        self._new_nodes = 0
        self._failed: Counter[str] = Counter()
        self._totals = Totals()
        self._zero_pages = 0
        self._left = 0
        self._copies = self._kernel_breaks = 0
        self._last_pass_merged: int | None = None
        self._readings = Readings()

    @hookimpl
    def ksmtrace_batch(self, batch: EventBatch, reconstruction: Reconstruction) -> None:
        """Count what joined and what left."""
        self._reconstruction = reconstruction
        self._by_kind += batch.by_kind
        if batch.only_counters:
            return
        self._totals.apply(batch)
        self._new_nodes += _flagged(batch, EventKind.STABLE_APPEND, Flag.NEW_NODE)
        self._zero_pages += _flagged(batch, EventKind.REPLACE_PAGE, Flag.ZERO_PAGE)
        self._left += _flagged(batch, EventKind.REMOVE_RMAP_ITEM, Flag.STABLE_BEFORE)
        copies = reconstruction.copies
        self._copies += len(copies.rows)
        self._kernel_breaks += int(np.count_nonzero(copies.by_kernel))
        err = batch.of(EventKind.TRY_TO_MERGE_ONE_PAGE)["err"]
        for value in err[err != 0].tolist():
            self._failed[result_name(value)] += 1

    @hookimpl
    def ksmtrace_reading(self, reading: Reading, session: Session) -> None:
        """Take in the kernel's counters."""
        self._readings.add(reading, session.monotonic_ns)

    @hookimpl
    def ksmtrace_scan_end(self, scan: Scan) -> None:
        """Keep the pass, if it was seen whole."""
        if scan.whole:
            self._last_pass_merged = scan.count(EventKind.STABLE_APPEND)

    @hookimpl
    def ksmtrace_analysis(self, session: Session) -> dict[str, Any]:
        """The figures of `FIGURES`."""
        return {
            **self._counted(session),
            "node_sharers_pages": self._sharers(session),
            "stable_node_chains": self._readings.last.get(Gauge.STABLE_NODE_CHAINS),
            "stable_node_dups": self._readings.last.get(Gauge.STABLE_NODE_DUPS),
            **known(FIGURES, session, self._nodes()),
        }

    def _nodes(self) -> dict[str, Any]:
        now = self._reconstruction
        if now is None:
            return dict.fromkeys((*NODE_AGES, "most_shared", "most_shared_at_least"))
        return {
            **ages(now, self._readings.now_ns),
            "most_shared": most_shared(now, self._readings.now_ns),
            "most_shared_at_least": not now.complete,
        }

    def _counted(self, session: Session) -> dict[str, Any]:
        """The figures that take no look at the stable nodes."""
        gauges = gauges_now(session, self._reconstruction, self._readings.last)
        sharing = gauges.get(Gauge.PAGES_SHARING)
        counts = self._by_kind + self._totals.by_kind
        count = {kind: int(counts[kind]) for kind in EventKind}
        failed = self._failed.copy()
        for outcome, number in self._totals.of(EventKind.TRY_TO_MERGE_ONE_PAGE).items():
            if outcome.err:
                failed[result_name(outcome.err)] += number
        placed = Outcome(EventKind.REPLACE_PAGE, zero_page=True)
        zero_pages = self._zero_pages + self._totals.counts.get(placed, 0)
        return known(
            FIGURES,
            session,
            {
                "shared_pages": gauges.get(Gauge.PAGES_SHARED),
                "sharing_pages": sharing,
                "saved_bytes": None
                if sharing is None
                else sharing * session.kernel.page_size_bytes,
                "merged_pages": count[EventKind.STABLE_APPEND],
                "last_pass_merged_pages": self._last_pass_merged,
                "new_node_pages": self._new_nodes,
                "attempted_pages": count[EventKind.TRY_TO_MERGE_ONE_PAGE],
                "replaced_pages": count[EventKind.REPLACE_PAGE] - zero_pages,
                "zero_page_pages": zero_pages,
                "break_cow_pages": count[EventKind.BREAK_COW],
                "left_pages": self._left,
                "removed_node_pages": count[EventKind.REMOVE_STABLE_NODE],
                "cow_fault_pages": self._copies - self._kernel_breaks,
                "kernel_break_pages": self._kernel_breaks,
                "failed_pages": dict(sorted(failed.items())),
            },
        )

    def _sharers(self, session: Session) -> dict[str, int] | None:
        if self._reconstruction is None or not session.knows(Knowledge.RMAP_ITEMS):
            return None
        return sharers(self._reconstruction)

    @hookimpl
    def ksmtrace_metrics(self, session: Session) -> Iterable[Metric]:
        """Metric families of what this run can see."""
        figures = {**self._counted(session), "node_sharers_pages": self._sharers(session)}
        return metrics(figures, self._readings.chains)

    @hookimpl
    def ksmtrace_panels(self, session: Session) -> Iterable[Panel]:
        """One panel of figures, usable 26 columns wide."""
        return panel(self._counted(session))

    @hookimpl
    def ksmtrace_sections(self, session: Session) -> Iterable[Section]:
        """What is shared, by whom, and since when."""
        at_most = not session.sees(EventKind.REMOVE_RMAP_ITEM)
        yield section(self.ksmtrace_analysis(session), self._readings, at_most=at_most)


def _flagged(batch: EventBatch, kind: EventKind, flag: Flag) -> int:
    return int(np.count_nonzero(batch.flags[batch.rows(kind)] & int(flag)))
