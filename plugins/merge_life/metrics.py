"""Computes the metric families of the life of merges."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from ksmtrace.figures import Row, families
from ksmtrace.plugins.merge_life.figures import FIGURES, LATENCY
from ksmtrace.plugins.merge_life.lives import LATENCY_BUCKETS, Lives

if TYPE_CHECKING:
    from prometheus_client.core import Metric


def metrics(figures: Row, lives: Lives) -> Iterable[Metric]:
    """What is known of `figures`, which are those of the JSON document, and the latencies."""
    yield from families(FIGURES, figures, ("counter",))
    if figures["merge_latency_buckets_pages"] is not None:
        bounds = [*map(str, LATENCY_BUCKETS), "+Inf"]
        counts = np.cumsum(lives.latency_counts()).tolist()
        yield LATENCY.make_buckets(zip(bounds, counts, strict=True), lives.latency.sum_ns / 1e9)
    yield from families(FIGURES, figures, ("gauge",))
