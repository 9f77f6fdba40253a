"""A batch of events, as hooks receive it: a read-only array, with what many ask for cached."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from ksmtrace.events import numbers as kinds
from ksmtrace.events.record import Records, picked

_NO_ROWS: npt.NDArray[np.int64] = np.zeros(0, dtype=np.int64)
_NO_ROWS.flags.writeable = False


class EventBatch:
    """Events in stream order.

    Attributes:
        events: read-only structured array of dtype `RECORD`, shape (n,).
    """

    def __init__(self, events: Records) -> None:
        self.events = events.view()
        self.events.flags.writeable = False
        self._where: dict[int, npt.NDArray[np.bool_]] = {}
        self._flags_of: dict[int, npt.NDArray[np.uint8]] = {}
        self._rows: dict[int, npt.NDArray[np.int64]] = {}

    def __len__(self) -> int:
        return len(self.events)

    @cached_property
    def kind(self) -> npt.NDArray[np.uint8]:
        """The kinds as a contiguous array of uint8, shape (n,)."""
        return np.ascontiguousarray(self.events["kind"])

    @cached_property
    def flags(self) -> npt.NDArray[np.uint8]:
        """The flags as a contiguous array of uint8, shape (n,)."""
        return np.ascontiguousarray(self.events["flags"])

    @cached_property
    def rmap_item(self) -> npt.NDArray[np.uint64]:
        """The rmap_items as a contiguous array of uint64, shape (n,)."""
        return np.ascontiguousarray(self.events["rmap_item"])

    @cached_property
    def by_kind(self) -> npt.NDArray[np.int64]:
        """How many events of each kind there are, shape (256,); read-only."""
        counts: npt.NDArray[np.int64] = np.bincount(self.kind, minlength=256)
        counts.flags.writeable = False
        return counts

    @cached_property
    def _counts(self) -> list[int]:
        counts: list[int] = self.by_kind.tolist()
        return counts

    @cached_property
    def only_counters(self) -> bool:
        """Whether all are SAMPLEs: of pages, nothing is told. One such batch ends each reading."""
        return self.count(kinds.SAMPLE) == len(self)

    @cached_property
    def lost(self) -> int:
        """Events that were dropped within this batch: the sum over its LOST records."""
        return int(self.of(kinds.LOST)["aux"].sum()) if self.count(kinds.LOST) else 0

    def count(self, kind: int) -> int:
        """How many events of this kind there are."""
        return self._counts[kind]

    def where(self, kind: int) -> npt.NDArray[np.bool_]:
        """Which events are of this kind, shape (n,); read-only."""
        found = self._where.get(kind)
        if found is None:
            # with an IntEnum NumPy compares in 64 bits, which takes ten times as long
            found = self._where[kind] = self.kind == int(kind)
            found.flags.writeable = False
        return found

    def where_any(self, *those: int) -> npt.NDArray[np.bool_]:
        """Which events are of one of these kinds, shape (n,)."""
        found = np.zeros(len(self), dtype=bool)
        for kind in those:
            if self._counts[kind]:
                found |= self.where(kind)
        return found

    def rows(self, *those: int) -> npt.NDArray[np.int64]:
        """The places of the events of these kinds, ascending; read-only."""
        found = [self._rows_of(kind) for kind in those if self._counts[kind]]
        if len(found) == 1:
            return found[0]
        if not found:
            return _NO_ROWS
        rows = np.concatenate(found)
        rows.sort(kind="stable")
        return rows

    def _rows_of(self, kind: int) -> npt.NDArray[np.int64]:
        found = self._rows.get(kind)
        if found is None:
            found = self._rows[kind] = self.where(kind).nonzero()[0]
            found.flags.writeable = False
        return found

    def flags_of(self, kind: int) -> npt.NDArray[np.uint8]:
        """The flags of the events of this kind, in stream order; read-only."""
        found = self._flags_of.get(kind)
        if found is None:
            found = self._flags_of[kind] = self.flags[self.rows(kind)]
            found.flags.writeable = False
        return found

    def of(self, *those: int) -> Records:
        """The events of these kinds, in stream order: a copy of dtype `RECORD`."""
        return picked(self.events, self.rows(*those))
