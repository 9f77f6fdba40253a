"""How much CPU time ksmd spent during a run, from readings of its counter."""

from __future__ import annotations

import numpy as np

from ksmtrace.events.batch import EventBatch
from ksmtrace.events.kinds import EventKind, Gauge


class KsmdTime:
    """The first and the last reading of KSMD_CPU_NS."""

    def __init__(self) -> None:
        self._first: int | None = None
        self._last: int | None = None

    def apply(self, batch: EventBatch) -> None:
        """Follow the readings in `batch`."""
        rows = np.flatnonzero(batch.kind == EventKind.SAMPLE)
        rows = rows[batch.events["address"][rows] == Gauge.KSMD_CPU_NS]
        if len(rows):
            values = batch.events["aux"][rows[[0, -1]]].tolist()
            self._first = values[0] if self._first is None else self._first
            self._last = values[1]

    @property
    def seconds(self) -> float | None:
        """Between the two readings; None where there is only one, or ksmd's counter began anew."""
        if self._first is None or self._last is None or self._last <= self._first:
            return None
        return (self._last - self._first) / 1e9
