"""The metric family of the heat map."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from prometheus_client.core import GaugeMetricFamily, Metric

from ksmtrace.plugins.heat_map.grid import State


def family(pages: npt.NDArray[np.int64]) -> Metric:
    """Pages of all processes by `State`, of which `pages` has one number each."""
    family = GaugeMetricFamily(
        "ksmtrace_rmap_item_pages",
        "Pages that ksmd tracks, by where they were as the last whole pass ended. Most of them volatile or candidate for long: "
        "little to merge, advise less memory; skipped: smart scan saves their cost.",
        labels=["state"],
    )
    for state in (State.MERGED, State.CANDIDATE, State.VOLATILE, State.SKIPPED):
        family.add_metric([state.name.lower()], int(pages[state]))
    return family
