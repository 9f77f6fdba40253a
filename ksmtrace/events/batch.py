"""A batch of events, as hooks receive it: a read-only array, with its columns cached."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from ksmtrace.events.kinds import EventKind
from ksmtrace.events.record import Records, picked


class EventBatch:
    """Events in stream order.

    Attributes:
        events: read-only structured array of dtype `RECORD`, shape (n,).
    """

    def __init__(self, events: Records) -> None:
        self.events = events.view()
        self.events.flags.writeable = False

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
    def only_counters(self) -> bool:
        """Whether all are SAMPLEs: of pages, nothing is told. One such batch ends each reading."""
        return bool((self.kind == EventKind.SAMPLE).all())

    @cached_property
    def lost(self) -> int:
        """Events that were dropped within this batch: the sum over its LOST records."""
        return int(self.of(EventKind.LOST)["aux"].sum())

    def of(self, *kinds: EventKind) -> Records:
        """The events of these kinds, in stream order: a copy of dtype `RECORD`."""
        chosen = self.kind == kinds[0]
        for kind in kinds[1:]:
            chosen |= self.kind == kind
        return picked(self.events, chosen)
