"""The metric families of the unstable tree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

_GAUGES = (
    (
        "unshared_pages",
        "Candidates in the unstable tree: unchanged pages without a twin. "
        "Far above ksmtrace_sharing_pages for long: the scan finds little, slow it down or advise less memory.",
    ),
    (
        "last_pass_inserted_pages",
        "Candidates put into the unstable tree in the last whole pass: the size of the haystack searched.",
    ),
)
_COUNTERS = (
    (
        "inserted_pages",
        "unstable_inserted_pages",
        "Candidates put into the unstable tree, again in each pass that examines them.",
    ),
    (
        "matched_pages",
        "unstable_matched_pages",
        "Candidates that left the unstable tree to join a stable node. Divide by inserted pages: the yield of scanning.",
    ),
    (
        "gone_pages",
        "unstable_gone_pages",
        "Candidates whose rmap_item was freed while they waited: unmapped or exited. "
        "Near the rate of insertion: processes live too short to be worth scanning.",
    ),
)


def families(figures: Mapping[str, int | None]) -> Iterable[Metric]:
    """One family for each figure of the JSON document that is known."""
    for key, help_text in _GAUGES:
        value = figures[key]
        if value is not None:
            yield GaugeMetricFamily(f"ksmtrace_{key}", help_text, value)
    for key, name, help_text in _COUNTERS:
        value = figures[key]
        if value is not None:
            yield CounterMetricFamily(f"ksmtrace_{name}_total", help_text, value)
