"""Computes the metric families of copies of KSM pages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ksmtrace.figures import Row, families
from ksmtrace.model.log_histogram import LogHistogram
from ksmtrace.plugins.cow.figures import FAULTS, FIGURES

if TYPE_CHECKING:
    from prometheus_client.core import Metric

FAULT_BUCKETS = tuple(2.0**octave / 1e9 for octave in range(8, 33))
"""Upper bounds in seconds: a quarter of a microsecond to four seconds, each twice the last."""


def metrics(analysis: Row, latency: LogHistogram) -> Iterable[Metric]:
    """Families of what is known; pages by user and kernel are `stable_tree`'s."""
    if analysis["fault_total_seconds"] is not None:
        counts = map(float, [*latency.within(FAULT_BUCKETS), len(latency)])
        buckets = zip([*map(str, FAULT_BUCKETS), "+Inf"], counts, strict=True)
        yield FAULTS.make_buckets(list(buckets), analysis["fault_total_seconds"])
    yield from families(FIGURES, analysis, ("counter", "gauge"))
