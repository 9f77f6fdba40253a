"""The metric families of the cost of scanning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from ksmtrace.plugins.scan_cost.scan_times import BUCKETS_SECONDS, PassTimes

_SETTLED_HELP = (
    "1 when pages_sharing changed by less than 1 % in each of the last two passes. "
    "1 for long: scan slower (sleep_millisecs); never 1: pages come and go, see ksmtrace_examined_pages_total."
)
_GAUGES = (
    (
        "coverage_ratio",
        "coverage_ratio",
        "Pages examined in the last whole pass by rmap_items. Low: smart scan passes over most; new twins are found late.",
    ),
    (
        "last_pass_zero_checksum_pages",
        "zero_checksum_pages",
        "Pages of zeroes examined in the last whole pass. A large part of all: set use_zero_pages, or use less memory.",
    ),
)
_COUNTERS = (
    (
        "ksmd_cpu_seconds",
        "ksmd_cpu_seconds",
        "CPU time of ksmd since the trace began. Its rate is the share of a core: above 0.1 when settled, scan slower.",
    ),
    (
        "skipped_pages",
        "skipped_pages",
        "Pages that smart scan passed over. Compare with ksmtrace_examined_pages_total: what it saves.",
    ),
)


def families(
    figures: Mapping[str, float | None], settled: bool | None, times: PassTimes | None
) -> Iterable[Metric]:
    """What is known of `figures`, which are those of the JSON document; durations of passes where they are."""
    for key, name, help_text in _GAUGES:
        value = figures[key]
        if value is not None:
            yield GaugeMetricFamily(f"ksmtrace_scan_{name}", help_text, value)
    for key, name, help_text in _COUNTERS:
        value = figures[key]
        if value is not None:
            yield CounterMetricFamily(f"ksmtrace_scan_{name}", help_text, value)
    if settled is not None:
        yield GaugeMetricFamily("ksmtrace_scan_settled", _SETTLED_HELP, int(settled))
    if times is not None:
        counts = np.cumsum(times.counts).tolist()
        bounds = [*map(str, BUCKETS_SECONDS), "+Inf"]
        yield HistogramMetricFamily(
            "ksmtrace_scan_pass_seconds",
            "Full passes by duration, sleeps included. A new page is merged after two of them: too long, raise pages_to_scan.",
            buckets=list(zip(bounds, counts, strict=True)),
            sum_value=times.total_seconds,
        )
