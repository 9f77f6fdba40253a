"""The metric families of copies of KSM pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from ksmtrace.model.log_histogram import LogHistogram
from ksmtrace.plugins.cow.storms import STORM_FLOOR, STORM_MULTIPLE

FAULT_BUCKETS = tuple(2.0**octave / 1e9 for octave in range(8, 33))
"""Upper bounds in seconds: a quarter of a microsecond to four seconds, each twice the last."""


def families(analysis: Mapping[str, Any], latency: LogHistogram) -> Iterable[Metric]:
    """Families of what is known; pages by user and kernel are `stable_tree`'s."""
    if analysis["fault_total_seconds"] is not None:
        counts = [*latency.within(FAULT_BUCKETS), len(latency)]
        bounds = [*map(str, FAULT_BUCKETS), "+Inf"]
        yield HistogramMetricFamily(
            "ksmtrace_cow_fault_seconds",
            "Time that writes to KSM pages spent in do_wp_page. Long tails: memory is short, or the page copied is "
            "far away; keep what must answer fast out of KSM.",
            buckets=list(zip(bounds, map(float, counts), strict=True)),
            sum_value=analysis["fault_total_seconds"],
        )
    for key, name, help_text in (
        (
            "regret_pages",
            "regret_pages",
            "Merges written to within 60 s. Near ksmtrace_merged_pages_total: KSM merges what is about to change, "
            "advise less memory or scan slower.",
        ),
        (
            "storms",
            "cow_storms",
            f"Seconds, or runs of them, with {STORM_FLOOR} broken pages or more and over {STORM_MULTIPLE} times the usual. "
            "Each is a burst of faults: `ksmtrace live --json` names the processes.",
        ),
    ):
        if analysis[key] is not None:
            yield CounterMetricFamily(f"ksmtrace_{name}_total", help_text, analysis[key])
    if analysis["half_life_seconds"] is not None:
        yield GaugeMetricFamily(
            "ksmtrace_merge_written_half_life_seconds",
            "By what age half of the merges are written to. Minutes or less: what is merged does not stay merged.",
            analysis["half_life_seconds"],
        )
