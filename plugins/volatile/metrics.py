"""Computes the metric families of volatile pages."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from prometheus_client.core import Metric

from ksmtrace.plugins.volatile.cause import LIVE, Cause, Counts
from ksmtrace.plugins.volatile.figures import UNPLACED, WASTED


def by_cause(
    examined: Mapping[Cause, int], pages: Counts, without: Collection[Cause]
) -> Iterable[Metric]:
    """Examinations that came to nothing, and the pages that each cause keeps from their place.

    `without` are causes that do not apply to the algorithm that merges.
    """
    yield WASTED.make(
        *(
            ((cause.name.lower(),), count)
            for cause, count in examined.items()
            if cause is not Cause.SKIPPED and cause not in without
        )
    )
    live = [cause for cause in LIVE if cause not in without]
    yield UNPLACED.make(*(((cause.name.lower(),), int(pages[cause])) for cause in live))
