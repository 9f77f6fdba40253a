"""The stable tree's metric families."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Mapping

import numpy as np
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeHistogramMetricFamily,
    GaugeMetricFamily,
    Metric,
)

from ksmtrace.plugins.stable_tree.nodes import SHARERS_BUCKETS

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

_ERRNOS = frozenset(errno.errorcode.values())


def families(
    figures: Mapping[str, float | None],
    failed: Mapping[str, int] | None,
    sharers: Mapping[str, int] | None,
    chains: tuple[int, int] | None,
) -> Iterable[Metric]:
    """What is known of `figures`, attempts by errno, nodes by number of sharers, and (chains, dups)."""
    for key, help_text in _GAUGES:
        value = figures[key]
        if value is not None:
            yield GaugeMetricFamily(f"ksmtrace_{key}", help_text, value)
    for key, name, help_text in _COUNTERS:
        value = figures[key]
        if value is not None:
            yield CounterMetricFamily(f"ksmtrace_{name}_total", help_text, value)
    if chains is not None:
        yield GaugeMetricFamily(
            "ksmtrace_stable_chain_mean_nodes",
            "KSM pages for each content that has a chain of them, 0 without chains. "
            "Growing: one content has more sharers than max_page_sharing lets a page have; raise it.",
            chains[1] / chains[0] if chains[0] else 0,
        )
    if failed is not None:
        yield _attempts(int(figures["attempted_pages"] or 0), failed)
    yield from _replaced(figures["replaced_pages"], figures["zero_page_pages"])
    yield from _copied(figures["cow_fault_pages"], figures["kernel_break_pages"])
    if sharers is not None:
        yield _histogram(
            sharers, int(figures["shared_pages"] or 0) + int(figures["sharing_pages"] or 0)
        )


def _attempts(attempted: int, failed: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(
        "ksmtrace_merge_attempts_total",
        "Calls of try_to_merge_one_page by result: done, the errno, or other for one that this system does not know. "
        "Many EFAULT: pages are pinned (DMA, io_uring, passthrough) or written to while being merged.",
        labels=["result"],
    )
    family.add_metric(["done"], attempted - sum(failed.values()))
    named = {name: count for name, count in failed.items() if name in _ERRNOS}
    for name, count in sorted(named.items()):
        family.add_metric([name], count)
    if len(named) < len(failed):
        family.add_metric(["other"], sum(failed.values()) - sum(named.values()))
    return family


def _replaced(by_ksm_page: float | None, by_zero_page: float | None) -> Iterable[Metric]:
    return _split(
        "ksmtrace_replaced_pages_total",
        "Page table entries that ksmd pointed to a KSM page (ksm) or to the zero page (zero). "
        "zero far ahead of ksm: the gain is unused memory, a smaller guest or heap saves more.",
        "kpage",
        {"ksm": by_ksm_page, "zero": by_zero_page},
    )


def _copied(by_user: float | None, by_kernel: float | None) -> Iterable[Metric]:
    return _split(
        "ksmtrace_cow_faults_total",
        "KSM pages copied: by a process that wrote (user), or because the kernel broke the sharing (kernel). "
        "user near the rate of merged pages: KSM merges what is about to be written, advise less memory.",
        "by",
        {"user": by_user, "kernel": by_kernel},
    )


def _split(
    name: str, help_text: str, label: str, values: dict[str, float | None]
) -> Iterable[Metric]:
    """One counter with a series for each value of `label` that is known; nothing where none is."""
    known = {key: value for key, value in values.items() if value is not None}
    if known:
        family = CounterMetricFamily(name, help_text, labels=[label])
        for key, value in known.items():
            family.add_metric([key], value)
        yield family


def _histogram(sharers: Mapping[str, int], rmap_items: int) -> Metric:
    counts = np.cumsum(list(sharers.values())).tolist()
    bounds = [*map(str, map(float, SHARERS_BUCKETS)), "+Inf"]
    return GaugeHistogramMetricFamily(
        "ksmtrace_stable_node_sharers",
        "KSM pages by number of pages that share each. Most at 256: raise max_page_sharing; most at 1: little gain.",
        buckets=list(zip(bounds, counts, strict=True)),
        gsum_value=rmap_items,
    )
