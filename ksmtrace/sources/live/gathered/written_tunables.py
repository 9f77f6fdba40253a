"""What follows of writes to tunables while ksmd is at work."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ksmtrace.events import numbers as kinds
from ksmtrace.events.record import Records, true_rows
from ksmtrace.events.tunable import tunable_writes
from ksmtrace.sources.live.gathered.batch import Header
from ksmtrace.sources.live.gathered.chunk import Ints, SmartScan
from ksmtrace.sources.live.gathered.places import PLACE_SHIFT, SKIPPED
from ksmtrace.sources.live.gathered.visit import Visit

_ON, _WRITTEN = int(SmartScan.ON), int(SmartScan.TUNABLE_WRITTEN)
"""As plain numbers: to make an IntFlag takes longer than all that is done by it."""


class SmartScanFollower:
    """Whether smart_scan was on in each item's turn, where it was written to meanwhile."""

    def __init__(self) -> None:
        self._on = False

    def note(self, header: Header) -> None:
        """As it was when this chunk was written."""
        self._on = bool(header.smart_scan & _ON)

    def tell(
        self,
        header: Header,
        held: Records,
        rows: npt.NDArray[np.intp],
        keys: Ints,
        visited: Visit,
    ) -> None:
        """Tell those of a batch's items that were passed over, where its chunks leave that open.

        Args:
            header: the batch's last chunk.
            held: records of the ring.
            rows: those of other tasks.
            keys: where each goes.
            visited: the batch.
        """
        if header.smart_scan & _WRITTEN:
            on = np.full(len(visited.place), self._on)
            turns = (visited.place << PLACE_SHIFT) + SKIPPED
            for row in true_rows(held["kind"][rows] == kinds.TUNABLE).tolist():
                (write,) = tunable_writes(held[rows[row] : rows[row] + 1])
                if write.name == "smart_scan" and not write.err:
                    on[turns > keys[row]] = write.switches_on
            over = on & visited.walk.passed_over
            visited.walk.skipped[over] = True
            visited.walk.says_checksum[over] = False
        self.note(header)
