"""Computes the metric families of the cost of scanning."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from ksmtrace.figures import Row, families
from ksmtrace.plugins.scan_cost.figures import COST, PASSES, SETTLING
from ksmtrace.plugins.scan_cost.scan_times import BUCKETS_SECONDS, PassTimes

if TYPE_CHECKING:
    from prometheus_client.core import Metric


def metrics(figures: Row, times: PassTimes) -> Iterable[Metric]:
    """What is known of `figures`, those of the JSON document, and how long passes took."""
    yield from families(COST, figures)
    yield from families(SETTLING, figures)
    if figures["pass_seconds_histogram"] is not None:
        counts = np.cumsum(times.counts).tolist()
        bounds = [*map(str, BUCKETS_SECONDS), "+Inf"]
        yield PASSES.make_buckets(zip(bounds, counts, strict=True), times.total_seconds)
