"""Analyzer of the stable tree: what is shared, how it came to be merged, and what left."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Iterable

import numpy as np
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeHistogramMetricFamily,
    GaugeMetricFamily,
    Metric,
)
from rich.panel import Panel

from ksmtrace import hookimpl
from ksmtrace.events import EventBatch, EventKind, Flag, Gauge
from ksmtrace.model.reconstruction import Reconstruction
from ksmtrace.model.scan import Scan
from ksmtrace.panel import figures_panel
from ksmtrace.session import Session

_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)

_GAUGES = (
    (
        "shared_pages",
        "KSM pages: stable nodes with an rmap_item. The cost side of sharing: compare with ksmtrace_sharing_pages.",
    ),
    (
        "sharing_pages",
        "Pages saved: rmap_items beyond the first of each stable node. Falling while ksmd runs: pages are written to.",
    ),
    (
        "saved_bytes",
        "Memory that sharing saves now: sharing pages times the page size. Weigh it against the CPU time of ksmd.",
    ),
    (
        "last_pass_merged_pages",
        "Pages that joined a stable node in the last whole pass. Near 0 pass after pass: KSM has settled, scan slower.",
    ),
)
_COUNTERS = (
    (
        "merged_pages",
        "merged_pages",
        "Pages that joined a stable node, copies found shared after a fork included. "
        "High while ksmtrace_sharing_pages stands still: pages are merged, written to and merged again.",
    ),
    (
        "new_node_pages",
        "stable_nodes_made",
        "Stable nodes that got their first rmap_item. Near the rate of merged pages: pages have few twins.",
    ),
    (
        "break_cow_pages",
        "break_cow_pages",
        "Half-done merges that ksmd undid. Should stay rare: each is a copy made for nothing.",
    ),
    (
        "left_pages",
        "stable_left_pages",
        "rmap_items that left the stable tree one by one: written to, unmapped or exited. Compare with merged pages.",
    ),
    (
        "removed_node_pages",
        "stable_nodes_removed",
        "Stable nodes whose page was gone and was cleared away, with all that shared it.",
    ),
)


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
        cow_fault_pages: KSM pages copied because the process wrote to them.
        kernel_break_pages: KSM pages copied because the kernel broke the sharing (run=2, MADV_UNMERGEABLE, prctl).
        node_sharers_pages: KSM pages by number of sharers, now; key "4" is 3 to 4, "more" above 256.
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

    @hookimpl
    def ksmtrace_batch(self, batch: EventBatch, reconstruction: Reconstruction) -> None:
        """Count what joined and what left."""
        self._reconstruction = reconstruction
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
            "kernel_break_pages": seen(EventKind.COW_FAULT, self._kernel_breaks),
        }

    def _sharers(self) -> dict[str, int] | None:
        """KSM pages by number of sharers; None unless the nodes known make up the whole tree."""
        if self._reconstruction is None:
            return None
        gauges = self._reconstruction.gauges()
        shared, sharing = gauges[Gauge.PAGES_SHARED], gauges[Gauge.PAGES_SHARING]
        members = self._reconstruction.sharers()
        if shared is None or sharing is None:
            return None
        if (len(members), int(members.sum())) != (shared, shared + sharing):
            return None
        buckets = np.bincount(np.searchsorted(_BUCKETS, members), minlength=len(_BUCKETS) + 1)
        names = (*map(str, _BUCKETS), "more")
        return dict(zip(names, buckets.tolist(), strict=True))

    @hookimpl
    def ksmtrace_metrics(self, session: Session) -> Iterable[Metric]:
        """Metric families of what this run can see."""
        figures = self._figures(session)
        for key, help_text in _GAUGES:
            value = figures[key]
            if value is not None:
                yield GaugeMetricFamily(f"ksmtrace_{key}", help_text, value)
        for key, name, help_text in _COUNTERS:
            value = figures[key]
            if value is not None:
                yield CounterMetricFamily(f"ksmtrace_{name}_total", help_text, value)
        if figures["attempted_pages"] is not None:
            yield self._attempts(figures["attempted_pages"])
        yield from _replaced(figures["replaced_pages"], figures["zero_page_pages"])
        yield from _copied(figures["cow_fault_pages"], figures["kernel_break_pages"])
        sharers = self._sharers()
        if sharers is not None:
            yield _histogram(
                sharers, (figures["shared_pages"] or 0) + (figures["sharing_pages"] or 0)
            )

    def _attempts(self, attempted: int) -> Metric:
        family = CounterMetricFamily(
            "ksmtrace_merge_attempts_total",
            "Calls of try_to_merge_one_page by result, done or the errno. "
            "Many EFAULT: pages are pinned (DMA, io_uring, passthrough) or written to while being merged.",
            labels=["result"],
        )
        family.add_metric(["done"], attempted - self._failed.total())
        for name, count in sorted(self._failed.items()):
            family.add_metric([name], count)
        return family

    @hookimpl
    def ksmtrace_panels(self, session: Session) -> Iterable[Panel]:
        """One panel of figures, usable 26 columns wide."""
        figures = self._figures(session)
        attempted = figures["attempted_pages"]
        saved = figures["saved_bytes"]
        yield figures_panel(
            "stable tree",
            (
                ("shared", figures["shared_pages"]),
                ("sharing", figures["sharing_pages"]),
                ("saved MiB", None if saved is None else round(saved / 2**20, 1)),
                ("merged", figures["merged_pages"]),
                ("  last pass", figures["last_pass_merged_pages"]),
                ("  failed", None if attempted is None else self._failed.total()),
                ("break_cow", figures["break_cow_pages"]),
                ("left", figures["left_pages"]),
                ("  written to", figures["cow_fault_pages"]),
            ),
            "green",
        )


def _flagged(batch: EventBatch, kind: EventKind, flag: Flag) -> int:
    return int(np.count_nonzero((batch.kind == kind) & (batch.events["flags"] & flag != 0)))


def _replaced(by_ksm_page: int | None, by_zero_page: int | None) -> Iterable[Metric]:
    return _split(
        "ksmtrace_replaced_pages_total",
        "Page table entries that ksmd pointed to a KSM page (ksm) or to the zero page (zero). "
        "zero far ahead of ksm: the gain is unused memory, a smaller guest or heap saves more.",
        "kpage",
        {"ksm": by_ksm_page, "zero": by_zero_page},
    )


def _copied(by_user: int | None, by_kernel: int | None) -> Iterable[Metric]:
    return _split(
        "ksmtrace_cow_faults_total",
        "KSM pages copied: by a process that wrote (user), or because the kernel broke the sharing (kernel). "
        "user near the rate of merged pages: KSM merges what is about to be written, advise less memory.",
        "by",
        {"user": by_user, "kernel": by_kernel},
    )


def _split(
    name: str, help_text: str, label: str, values: dict[str, int | None]
) -> Iterable[Metric]:
    """One counter with a series for each value of `label`; nothing unless all are known."""
    known = {key: value for key, value in values.items() if value is not None}
    if len(known) == len(values):
        family = CounterMetricFamily(name, help_text, labels=[label])
        for key, value in known.items():
            family.add_metric([key], value)
        yield family


def _histogram(sharers: dict[str, int], rmap_items: int) -> Metric:
    counts = np.cumsum(list(sharers.values())).tolist()
    bounds = [*map(str, map(float, _BUCKETS)), "+Inf"]
    return GaugeHistogramMetricFamily(
        "ksmtrace_stable_node_sharers",
        "KSM pages by number of pages that share each. Most at 256: raise max_page_sharing; most at 1: little gain.",
        buckets=list(zip(bounds, counts, strict=True)),
        gsum_value=rmap_items,
    )
