"""Computes the metric families of volatile pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import TYPE_CHECKING

from ksmtrace.plugins.volatile.cause import LIVE, Cause, Counts
from ksmtrace.plugins.volatile.figures import UNPLACED, WASTED

if TYPE_CHECKING:
    from prometheus_client.core import Metric


def by_cause(examined: Mapping[Cause, int], pages: Counts, unknown: Set[Cause]) -> Iterable[Metric]:
    """Examinations that came to nothing, and the pages that each cause keeps from their place."""
    yield WASTED.make(
        *(
            ((cause.name.lower(),), count)
            for cause, count in examined.items()
            if cause is not Cause.SKIPPED and cause not in unknown
        )
    )
    told = (cause for cause in LIVE if cause not in unknown)
    yield UNPLACED.make(*(((cause.name.lower(),), int(pages[cause])) for cause in told))
