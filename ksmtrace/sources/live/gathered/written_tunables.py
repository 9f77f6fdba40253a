"""Writes to tunables while ksmd is at work: at which item each found it, and what follows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ksmtrace.events.kinds import EventKind
from ksmtrace.events.record import Records
from ksmtrace.events.tunable import tunable_writes
from ksmtrace.sources.live.gathered.batch import Header
from ksmtrace.sources.live.gathered.chunk import ChunkFlag, Ints, SmartScan
from ksmtrace.sources.live.gathered.own import find_rmap_items
from ksmtrace.sources.live.gathered.places import PLACE_SHIFT, SKIPPED
from ksmtrace.sources.live.gathered.visit import Visit

BETWEEN_PASSES = 1
"""Raw mark of writes to tunables: ksmd had ended a pass and not begun the next."""

_ON, _WRITTEN = int(SmartScan.ON), int(SmartScan.TUNABLE_WRITTEN)
_FROM_HEAD = int(ChunkFlag.FROM_HEAD)
"""As plain numbers: to make an IntFlag takes longer than all that is done by it."""


class Writes(NamedTuple):
    """TUNABLE records of a batch that say where ksmd was.

    Attributes:
        row: of each in what was handed over.
        ts: when the write began.
        place: of the first item whose turn had not begun when it ended.
    """

    row: npt.NDArray[np.intp]
    ts: Ints
    place: Ints


def writes_amid(held: Records, header: Header, visited: Visit) -> Writes:
    """The writes since the batch began, where the kernel's own cursor was seen."""
    amid = (held["kind"] == EventKind.TUNABLE) & (held["ts"] >= header.began)
    rows = np.flatnonzero(amid & (held["mm"] != 0))
    # Ksmd was at the last item of the batch before where none of this one is named.
    place = np.zeros(len(rows), dtype=np.int64)
    if len(rows):
        told = held["mm"][rows]
        at = find_rmap_items(visited, told)
        place[at >= 0] = visited.place[at[at >= 0]] + 1
        for number, stretch in enumerate(visited.walk.stretches):
            place[told == stretch.mm] = visited.end_of(number - 1) + 1
        if not header.flags & _FROM_HEAD:
            place[told == BETWEEN_PASSES] = visited.last + 1
    return Writes(rows, held["ts"][rows].astype(np.int64), place)


def without_cursors(events: Records) -> Records:
    """The same with TUNABLE records as intercepting gives them."""
    rows = np.flatnonzero((events["kind"] == EventKind.TUNABLE) & (events["mm"] != 0))
    if len(rows):
        events = events.copy()
        events["mm"][rows] = 0
    return events


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
            for row in np.flatnonzero(held["kind"][rows] == EventKind.TUNABLE).tolist():
                (write,) = tunable_writes(held[rows[row] : rows[row] + 1])
                if write.name == "smart_scan" and not write.err:
                    on[turns > keys[row]] = write.switches_on
            over = on & visited.walk.passed_over
            visited.walk.skipped[over] = True
            visited.walk.says_checksum[over] = False
        self.note(header)
