"""One full pass of ksmd, summed up when it ends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ksmtrace.events import numbers as kinds
from ksmtrace.events.batch import EventBatch
from ksmtrace.events.kinds import EventKind


@dataclass(frozen=True, slots=True)
class Scan:
    """A pass from its SCAN_START to its SCAN_STOP.

    Attributes:
        seqnr: `ksm_scan.seqnr` during the pass.
        whole: the trace saw the pass from its start on, and lost nothing in it.
        ended_ns: CLOCK_MONOTONIC of the SCAN_STOP.
        duration_ns: from SCAN_START to SCAN_STOP, sleeps included; 0 unless whole, or where the
            clock was set back.
        by_kind: number of events of each kind in the pass, shape (256,), dtype int64.
    """

    seqnr: int
    whole: bool
    ended_ns: int
    duration_ns: int
    by_kind: npt.NDArray[np.int64]

    def count(self, kind: EventKind) -> int:
        """Events of `kind` in this pass."""
        return int(self.by_kind[kind])


class ScanTracker:
    """Collects passes; expects batches that end at each SCAN_STOP."""

    def __init__(self) -> None:
        self._by_kind = np.zeros(256, dtype=np.int64)
        self._started_ns: int | None = None

    def apply(self, batch: EventBatch) -> Scan | None:
        """The pass that ends with this batch, or None."""
        events = batch.events
        starts, since = batch.rows(kinds.SCAN_START), batch.by_kind
        if len(starts):
            self._by_kind[:] = 0
            self._started_ns = int(events["ts"][starts[-1]])
            since = np.bincount(batch.kind[starts[-1] :], minlength=256)
        if since[EventKind.LOST]:
            self._started_ns = None
        self._by_kind += since
        if not len(events) or batch.kind[-1] != kinds.SCAN_STOP:
            return None
        ended_ns, started_ns = int(events["ts"][-1]), self._started_ns
        scan = Scan(
            seqnr=int(events["aux"][-1]),
            whole=started_ns is not None,
            ended_ns=ended_ns,
            duration_ns=max(0, ended_ns - started_ns) if started_ns is not None else 0,
            by_kind=self._by_kind.copy(),
        )
        self._by_kind[:] = 0
        self._started_ns = None
        return scan
