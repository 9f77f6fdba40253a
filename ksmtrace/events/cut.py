"""Cuts a batch of events where every follower of the stream needs a boundary."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ksmtrace.events import numbers as kinds
from ksmtrace.events.batch import EventBatch
from ksmtrace.events.kinds import Flag
from ksmtrace.events.record import Records

MOST_EVENTS = 1 << 14
"""Of a batch that a source gives: between two of them, all that is due gets its turn."""

_SAMPLE, _LAST_OF_SAMPLE = int(kinds.SAMPLE), int(Flag.LAST_OF_SAMPLE)
_ENDS = tuple(int(kind) for kind in (kinds.LOST, kinds.SCAN_STOP, kinds.STREAM_END, kinds.SAMPLE))


def cut(batch: EventBatch) -> Iterator[EventBatch]:
    """The parts of `batch`, in order; none is empty.

    A part ends at each SCAN_STOP and at the last SAMPLE of each reading of the kernel's counters.
    A LOST record is a part of its own, and so is the end of the stream.
    """
    rows = batch.rows(*_ENDS)
    samples = batch.kind[rows] == _SAMPLE
    last = ~samples | (batch.flags[rows] & _LAST_OF_SAMPLE != 0)
    alone = batch.rows(kinds.LOST, kinds.STREAM_END)
    ends = rows[last]
    if len(alone):
        ends = np.union1d(ends, alone[alone > 0] - 1)
    return cut_after(batch, ends)


def ends_a_part(batch: EventBatch) -> bool:
    """Whether `cut` cuts after the last event of `batch`, whatever follows it."""
    if not len(batch):
        return False
    kind, flags = int(batch.kind[-1]), int(batch.flags[-1])
    return kind in _ENDS and (kind != _SAMPLE or flags & _LAST_OF_SAMPLE != 0)


def cut_after(batch: EventBatch, rows: npt.NDArray[np.intp]) -> Iterator[EventBatch]:
    """The parts of `batch` that end at each of `rows`, ascending, and what follows the last."""
    start = 0
    for end in (*(rows + 1).tolist(), len(batch)):
        if end > start:
            yield EventBatch(batch.events[start:end]) if end - start < len(batch) else batch
            start = end


def pieces_of(events: Records, most: int = MOST_EVENTS) -> Iterator[Records]:
    """`events` in pieces of at most `most`, in order; none is empty."""
    for start in range(0, len(events), most):
        yield events[start : start + most]
