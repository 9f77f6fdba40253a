"""The metric families of the life of merges."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from ksmtrace.plugins.merge_life.lives import LATENCY_BUCKETS, STAGES, Lives


def families(figures: Mapping[str, float | None], lives: Lives) -> Iterable[Metric]:
    """What is known of `figures`, which are those of the JSON document, and the latencies."""
    stages = CounterMetricFamily(
        "ksmtrace_lives_pages_total",
        "rmap_items that reached a stage of their life, each counted once. Few candidates of those seen: memory "
        "changes too fast; few merged of the candidates: pages have no twins.",
        labels=["stage"],
    )
    for name in STAGES:
        if (value := figures[f"{name}_pages"]) is not None:
            stages.add_metric([name], value)
    if stages.samples:
        yield stages
    if figures["merge_latency_pages"] is not None:
        bounds = [*map(str, LATENCY_BUCKETS), "+Inf"]
        counts = np.cumsum(lives.latency_counts()).tolist()
        yield HistogramMetricFamily(
            "ksmtrace_merge_latency_seconds",
            "From ksmd's first sight of a page to its merge. p90 of hours: raise pages_to_scan or use the advisor.",
            buckets=list(zip(bounds, counts, strict=True)),
            sum_value=lives.latency.sum_ns / 1e9,
        )
    if (half := figures["merge_half_life_seconds"]) is not None:
        yield GaugeMetricFamily(
            "ksmtrace_merge_half_life_seconds",
            "Time that half of the merges last at least. Shorter than a few passes: merging is undone as fast as it "
            "is done, advise less memory.",
            half,
        )
