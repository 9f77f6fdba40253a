"""Expands what is gathered into the records that intercepting every page gives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ksmtrace.events import numbers as kinds
from ksmtrace.events.record import RECORD, Records, joined, picked, true_rows
from ksmtrace.events.tunable import tunable_writes
from ksmtrace.sources.live.gathered.batch import (
    BatchReader,
    Gathered,
    Header,
    read_batch,
    read_header,
)
from ksmtrace.sources.live.gathered.chunk import GATHERED, ChunkFlag, Words
from ksmtrace.sources.live.gathered.expansion import Expansion
from ksmtrace.sources.live.gathered.own import is_own, without_marks
from ksmtrace.sources.live.gathered.succession import as_one, follows
from ksmtrace.sources.live.gathered.told_places import without_places

_SPECIAL = np.zeros(256, dtype=bool)
_SPECIAL[[GATHERED, kinds.SCAN_STOP, kinds.SAMPLE, kinds.LOST, kinds.TUNABLE]] = True

_KIND = list(RECORD.names or ()).index("kind")

_INVENTORY, _FIRST = int(ChunkFlag.INVENTORY), int(ChunkFlag.FIRST)
"""As plain numbers: to make an IntFlag takes longer than all that is done by it."""

_MOST_TOGETHER = 1 << 14
"""Pages of batches that are expanded as one: more do not fit into caches."""


class Expander:
    """Takes the ring's records in order; gives events.

    ksmd's own records wait for the chunks of their batch, which come as it ends, and other tasks'
    records with them.

    Args:
        resync: asks BPF for a new inventory of all rmap_items.
        pages_to_scan: reads it; None where that fails.
    """

    def __init__(
        self,
        resync: Callable[[], None] = lambda: None,
        pages_to_scan: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._resync = resync
        self._expansion = Expansion(pages_to_scan)
        self._reader = BatchReader()
        self._held: list[Records] = []
        self._ended: list[tuple[Gathered, Records]] = []
        self._together = 0

    def feed(self, events: Records, words: list[Words]) -> Records:
        """The events that these records complete.

        Args:
            events: of the ring, with LOST records where some are missing; chunks are headers.
            words: of each chunk, in order.
        """
        out: list[Records] = []
        start, chunks = 0, iter(words)
        rows = true_rows(_SPECIAL[events["kind"]])
        for row, fields in zip(rows.tolist(), picked(events, rows).tolist(), strict=True):
            kind = fields[_KIND]
            if kind == kinds.TUNABLE and not _unmerges(events[row : row + 1]):
                continue
            if start < row:
                self._hold(events[start:row])
            start = row + 1
            if kind == GATHERED:
                out += self._chunk(read_header(fields), next(chunks))
                continue
            one = events[row : row + 1]
            out += self._expanded()
            if kind == kinds.LOST:
                self._hold(one)
                self.lose()
            elif kind == kinds.TUNABLE:
                out.append(self._expansion.free_all(self._take_held(), one))
            else:
                out += [self.flush(), one]
        out += self._expanded()
        self._hold(events[start:])
        return without_places(joined(out))

    def lose(self) -> None:
        """Records were lost, and have been counted, at a place that is not known."""
        self._expansion.lose()
        self._resync()

    def release(self, before: int) -> Records:
        """Records of other tasks that have waited since `before` (CLOCK_MONOTONIC, nanoseconds).

        While ksmd rests, no batch ends.
        """
        held = self._take_held()
        stays = is_own(held) | (held["ts"] >= before)
        first = int(np.argmax(stays)) if stays.any() else len(held)
        self._hold(held[first:])
        self._expansion.note(held[:first])
        return without_places(held[:first])

    def flush(self) -> Records:
        """What is held, though the batch has not ended."""
        held = self._take_held()
        if not len(held):
            return held
        self._expansion.note(held)
        return without_marks(without_places(held))

    def _chunk(self, header: Header, words: Words) -> list[Records]:
        if header.flags & _INVENTORY:
            # What is left of batches before a loss belongs to nothing any more. It is given out
            # first: registrations in it are in the inventory already.
            out = self._expanded()
            if self._expansion.wants_stock and header.flags & _FIRST:
                out.append(self.flush())
            if self._expansion.take_stock(header, words):
                self._reader = BatchReader()
            return out
        batch = self._reader.take(header, words)
        if batch is None:
            return []
        held = self._take_held()
        out = []
        if self._ended and (
            self._together > _MOST_TOGETHER or not follows(batch, held, self._ended[-1][0])
        ):
            out = self._expanded()
        self._ended.append((batch, held))
        self._together += sum(batch.items)
        return out

    def _expanded(self) -> list[Records]:
        """The events of the batches that have ended."""
        if not self._ended:
            return []
        ended, self._ended, self._together = self._ended, [], 0
        one = as_one([batch for batch, _ in ended]) if len(ended) > 1 else None
        if one is not None:
            batches = [(one, joined([held for _, held in ended]))]
        else:
            batches = [(read_batch(batch), held) for batch, held in ended]
        out = []
        for batch, held in batches:
            lossy = self._expansion.wants_stock
            out.append(self._expansion.expand(batch, held))
            if not lossy and self._expansion.wants_stock:
                self._resync()
        return out

    def _hold(self, events: Records) -> None:
        if len(events):
            self._held.append(events)

    def _take_held(self) -> Records:
        held = joined(self._held)
        self._held = []
        return held


def _unmerges(event: Records) -> bool:
    """Whether it is a write of 2 to `run` that succeeded."""
    (write,) = tunable_writes(event)
    return write.name == "run" and write.number == 2
