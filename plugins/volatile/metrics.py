"""The metric families of the volatile analyzer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from ksmtrace.plugins.volatile.cause import Cause, Counts
from ksmtrace.plugins.volatile.view import LIVE

_OUTCOMES = {
    "stable": "placed_stable_pages",
    "unstable": "placed_unstable_pages",
    "changed": "changed_pages",
    "first_look": "first_look_pages",
    "unplaced": "unplaced_pages",
    "freed": "freed_pages",
}

_GAUGES = (
    (
        "volatile_pages",
        "Pages in neither tree. High for long: look at ksmtrace_unplaced_pages for why, by cause.",
    ),
    (
        "last_pass_examined_pages",
        "Pages examined in the last whole pass: what one pass costs. Divide by pages_to_scan for its batches.",
    ),
    (
        "last_pass_changed_pages",
        "Pages of the last whole pass that had changed since the pass before: work for nothing.",
    ),
    (
        "last_pass_changed_ratio",
        "Share of the last whole pass that had changed. "
        "Above 0.5: advise less memory, or turn smart_scan on; `ksmtrace live --json` names the processes.",
    ),
)


def gauges(figures: Mapping[str, float | None]) -> Iterable[Metric]:
    """One family for each figure that is known."""
    for key, help_text in _GAUGES:
        value = figures[key]
        if value is not None:
            yield GaugeMetricFamily(f"ksmtrace_{key}", help_text, value)


def outcomes(figures: Mapping[str, float | None]) -> Metric:
    """Examinations by outcome."""
    family = CounterMetricFamily(
        "ksmtrace_examined_pages_total",
        "Pages examined, by outcome. changed: written to between two looks, no use scanning; "
        "unplaced: unchanged but in no tree, see ksmtrace_wasted_pages_total for why.",
        labels=["outcome"],
    )
    for outcome, key in _OUTCOMES.items():
        family.add_metric([outcome], figures[key] or 0)
    return family


def causes(examined: Mapping[Cause, int], pages: Counts) -> Iterable[Metric]:
    """Examinations that came to nothing by cause, and the pages that each cause keeps from their place."""
    wasted = CounterMetricFamily(
        "ksmtrace_wasted_pages_total",
        "Examinations that came to nothing, by cause. changed: advise less memory; held: pinned or under I/O; "
        "huge_page: held whole; chain_full: raise max_page_sharing; fork_shared: shared already.",
        labels=["cause"],
    )
    for cause, count in examined.items():
        if cause is not Cause.SKIPPED:
            wasted.add_metric([cause.name.lower()], count)
    yield wasted
    now = GaugeMetricFamily(
        "ksmtrace_unplaced_pages",
        "Pages kept from their place now, by cause of their last look; those of chain_full wait in the unstable tree. "
        "The largest says where to act; `ksmtrace live --json` names processes and ranges.",
        labels=["cause"],
    )
    for cause in LIVE:
        now.add_metric([cause.name.lower()], int(pages[cause]))
    yield now
