"""The metric families of copies of KSM pages."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from prometheus_client.core import Metric

from ksmtrace.figures import Row, families
from ksmtrace.model.log_histogram import PER_OCTAVE, LogHistogram
from ksmtrace.plugins.cow.figures import FAULTS, FIGURES

_OCTAVES = range(8, 33)
"""Powers of 2 in nanoseconds that are bounds of buckets: a quarter of a microsecond to 4 seconds."""


def metrics(analysis: Row, latency: LogHistogram) -> Iterable[Metric]:
    """Families of what is known; pages by user and kernel are `stable_tree`'s."""
    if analysis["fault_total_seconds"] is not None:
        cumulated = np.cumsum(latency.counts)
        buckets = [
            (str(2.0**octave / 1e9), float(cumulated[octave * PER_OCTAVE + PER_OCTAVE - 1]))
            for octave in _OCTAVES
        ]
        total = float(len(latency))
        yield FAULTS.make_buckets([*buckets, ("+Inf", total)], analysis["fault_total_seconds"])
    yield from families(FIGURES, analysis, ("counter", "gauge"))
