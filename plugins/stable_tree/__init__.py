"""Analyzer of the stable tree: what is shared, how it came to be merged, and what left."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Iterable

import numpy as np
from prometheus_client.core import Metric
from rich.panel import Panel

from ksmtrace import hookimpl
from ksmtrace.events import EventBatch, EventKind, Flag, Gauge
from ksmtrace.model.reconstruction import Reconstruction
from ksmtrace.model.scan import Scan
from ksmtrace.plugins.stable_tree.metrics import families
from ksmtrace.plugins.stable_tree.nodes import NODE_AGES, ages, most_shared, sharers
from ksmtrace.plugins.stable_tree.readings import Readings
from ksmtrace.plugins.stable_tree.view import panel, section
from ksmtrace.section import Section
from ksmtrace.session import Session


class Plugin:
    """What the stable tree holds now, and what happened to it during the run.

    JSON, each None where this run cannot know it:
        shared_pages, sharing_pages: as sysfs pages_shared and pages_sharing, reconstructed, now.
        saved_bytes: sharing_pages times the page size, now.
        merged_pages: STABLE_APPEND: pages that joined a stable node; a forked child's pages, which are shared
            before ksmd comes to them, join without being merged and count too.
        last_pass_merged_pages: the same in the last pass that was seen whole.
        new_node_pages: of merged_pages, the first of their node.
        attempted_pages: TRY_TO_MERGE_ONE_PAGE.
        failed_pages: those of them that failed, by errno name.
        replaced_pages: page table entries pointed to a KSM page.
        zero_page_pages: page table entries pointed to the zero page.
        break_cow_pages: BREAK_COW.
        left_pages: REMOVE_RMAP_ITEM from the stable tree.
        removed_node_pages: REMOVE_STABLE_NODE; its rmap_items are not among left_pages.
        cow_fault_pages: KSM pages copied because the process wrote to them; the kernel's breaks too,
            where they are not told apart.
        kernel_break_pages: KSM pages copied because the kernel broke the sharing (run=2, MADV_UNMERGEABLE, prctl).
        node_sharers_pages: KSM pages by number of sharers, now; key "4" is 3 to 4, "more" above 256.
        stable_node_chains, stable_node_dups: as sysfs has them, read last.
        node_age_p50_seconds, node_age_oldest_seconds: ages of the stable nodes that there are now.
        older_node_pages: nodes among them that were there when first seen: their ages are lower bounds.
        most_shared: the ten KSM pages with most sharers, each with kpfn (page frame, None where not seen), sharer_pages,
            age_seconds and older (then the age is a lower bound), processes: the three that share it most, each with
            process (guest, or comm and pid), pid, mm and pages, and other_processes: how many more.
        most_shared_at_least: not all of ksmd's state is known: there may be others, and more sharers.
    """

    def __init__(self) -> None:
        self._reconstruction: Reconstruction | None = None
        self._by_kind = np.zeros(256, dtype=np.int64)
        self._new_nodes = 0
        self._failed: Counter[str] = Counter()
        self._zero_pages = 0
        self._left = 0
        self._kernel_breaks = 0
        self._last_pass_merged: int | None = None
        self._readings = Readings()

    @hookimpl
    def ksmtrace_batch(
        self, batch: EventBatch, reconstruction: Reconstruction, session: Session
    ) -> None:
        """Count what joined and what left."""
        self._reconstruction = reconstruction
        self._readings.apply(batch, session.monotonic_ns)
        self._by_kind += np.bincount(batch.kind, minlength=256)
        self._new_nodes += _flagged(batch, EventKind.STABLE_APPEND, Flag.NEW_NODE)
        self._zero_pages += _flagged(batch, EventKind.REPLACE_PAGE, Flag.ZERO_PAGE)
        self._left += _flagged(batch, EventKind.REMOVE_RMAP_ITEM, Flag.STABLE_BEFORE)
        self._kernel_breaks += _flagged(batch, EventKind.COW_FAULT, Flag.BY_KERNEL)
        err = batch.of(EventKind.TRY_TO_MERGE_ONE_PAGE)["err"]
        for value in err[err != 0].tolist():
            self._failed[errno.errorcode.get(-value, str(value))] += 1

    @hookimpl
    def ksmtrace_scan_end(self, scan: Scan) -> None:
        """Keep the pass, if it was seen whole."""
        if scan.whole:
            self._last_pass_merged = scan.count(EventKind.STABLE_APPEND)

    @hookimpl
    def ksmtrace_analysis(self, session: Session) -> dict[str, object]:
        """The figures of the class docstring."""
        failed = dict(sorted(self._failed.items()))
        return {
            **self._figures(session),
            "failed_pages": failed if session.sees(EventKind.TRY_TO_MERGE_ONE_PAGE) else None,
            "node_sharers_pages": self._sharers(),
            "stable_node_chains": self._readings.last.get(Gauge.STABLE_NODE_CHAINS),
            "stable_node_dups": self._readings.last.get(Gauge.STABLE_NODE_DUPS),
            **self._nodes(session),
        }

    def _nodes(self, session: Session) -> dict[str, object]:
        known = self._reconstruction
        if known is None or not session.sees(EventKind.STABLE_APPEND):
            return dict.fromkeys((*NODE_AGES, "most_shared", "most_shared_at_least"))
        return {
            **ages(known, self._readings.now_ns),
            "most_shared": most_shared(known, self._readings.now_ns),
            "most_shared_at_least": not known.complete,
        }

    def _figures(self, session: Session) -> dict[str, int | None]:
        gauges = self._reconstruction.gauges() if self._reconstruction else {}
        sharing = gauges.get(Gauge.PAGES_SHARING)

        def seen(kind: EventKind, value: int | None = None) -> int | None:
            if not session.sees(kind):
                return None
            return int(self._by_kind[kind]) if value is None else value

        merged_seen = session.sees(EventKind.STABLE_APPEND)
        replaced = seen(EventKind.REPLACE_PAGE)
        copied = seen(EventKind.COW_FAULT)
        return {
            "shared_pages": gauges.get(Gauge.PAGES_SHARED),
            "sharing_pages": sharing,
            "saved_bytes": None if sharing is None else sharing * session.kernel.page_size_bytes,
            "merged_pages": seen(EventKind.STABLE_APPEND),
            "last_pass_merged_pages": self._last_pass_merged if merged_seen else None,
            "new_node_pages": seen(EventKind.STABLE_APPEND, self._new_nodes),
            "attempted_pages": seen(EventKind.TRY_TO_MERGE_ONE_PAGE),
            "replaced_pages": None if replaced is None else replaced - self._zero_pages,
            "zero_page_pages": seen(EventKind.REPLACE_PAGE, self._zero_pages),
            "break_cow_pages": seen(EventKind.BREAK_COW),
            "left_pages": seen(EventKind.REMOVE_RMAP_ITEM, self._left),
            "removed_node_pages": seen(EventKind.REMOVE_STABLE_NODE),
            "cow_fault_pages": None if copied is None else copied - self._kernel_breaks,
            "kernel_break_pages": self._kernel_breaks if session.sees_who_broke else None,
        }

    def _sharers(self) -> dict[str, int] | None:
        return sharers(self._reconstruction) if self._reconstruction else None

    @hookimpl
    def ksmtrace_metrics(self, session: Session) -> Iterable[Metric]:
        """Metric families of what this run can see."""
        failed = self._failed if session.sees(EventKind.TRY_TO_MERGE_ONE_PAGE) else None
        yield from families(self._figures(session), failed, self._sharers(), self._readings.chains)

    @hookimpl
    def ksmtrace_panels(self, session: Session) -> Iterable[Panel]:
        """One panel of figures, usable 26 columns wide."""
        attempts = session.sees(EventKind.TRY_TO_MERGE_ONE_PAGE)
        return [panel(self._figures(session), self._failed.total() if attempts else None)]

    @hookimpl
    def ksmtrace_sections(self, session: Session) -> Iterable[Section]:
        """What is shared, by whom, and since when."""
        yield section(self.ksmtrace_analysis(session), self._readings)


def _flagged(batch: EventBatch, kind: EventKind, flag: Flag) -> int:
    return int(np.count_nonzero(batch.flags[batch.kind == kind] & int(flag)))
